"""Standard input that goes with a start: from a file, or all of our own."""

from __future__ import annotations

import os
import stat
import sys

from jobworker.cli.invocation import UsageError

MOST = 16 * 1024 * 1024
"""The most bytes, as ``api.fields.MAX_STDIN``, which a test holds this to: its import is slow."""

OURS = "-"


def check(name: str) -> None:
    """Refuses a file that cannot be read or is too large, before anything is sent."""
    if name == OURS:
        return
    try:
        status = os.stat(name)
        if not os.access(name, os.R_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise _unreadable(name, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"--stdin: {name} is a directory")
    if status.st_size > MOST:
        raise _too_large(name)


def read(name: str) -> bytes:
    """All bytes of the file; raises ``UsageError``."""
    try:
        if name == OURS:
            data = sys.stdin.buffer.read(MOST + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(MOST + 1)
    except OSError as error:
        raise _unreadable(name, error) from None
    if len(data) > MOST:
        raise _too_large(name)
    return data


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"--stdin: cannot read {name}: {error.strerror}")


def _too_large(name: str) -> UsageError:
    what = "standard input" if name == OURS else name
    return UsageError(
        f"--stdin: {what} is larger than the 16M that can go with a start; stream it with run -i"
    )
