"""Cursors of lists: opaque to clients, the number of a page's last job to us."""

from __future__ import annotations

import base64
import binascii

from jobworker.errors import InvalidRequest

_BYTES = 8


def cursor_at(number: int) -> str:
    """The cursor of the page that follows job ``number``."""
    raw = number.to_bytes(_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def number_at(cursor: str) -> int:
    """The number that ``cursor`` stands for; raises ``InvalidRequest``."""
    try:
        padded = cursor.encode("ascii") + b"="
        number = int.from_bytes(base64.b64decode(padded, b"-_", validate=True), "big")
        if cursor_at(number) == cursor and number < 1 << 63:
            return number
    except (UnicodeEncodeError, binascii.Error, OverflowError):
        pass
    raise InvalidRequest(
        "the cursor is not one that a list has given",
        hint="pass the next of the page before, unchanged",
        field="cursor",
    )
