"""The address that the server listens on, for commands that run beside the server.

The server holds a lock on the file for as long as it lives, so what a killed one has
left behind is not taken for the truth.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobworker import atomic_file
from jobworker.config.settings import Address, parse_address

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


@contextmanager
def published(path: Path, address: Address) -> Iterator[None]:
    """Keeps ``address`` in the file at ``path`` meanwhile."""
    draft, descriptor = atomic_file.begin(str(path))
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{address}\n")
        file.flush()
        Path(draft).rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def in_force(path: Path) -> Address | None:
    """The address that the server listens on, or None where none runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return parse_address(file.read().strip())
    return None


def url_of(address: Address) -> str:
    """The URL under which this machine reaches a server that listens on ``address``."""
    return f"https://{Address(_LOOPBACK.get(address.host, address.host), address.port)}"
