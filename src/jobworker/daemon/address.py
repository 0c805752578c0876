"""The address that the server listens on, for commands that run beside the server.

The server holds a lock on the file for as long as it lives, so what a killed one has
left behind is not taken for the truth.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from jobworker import atomic_file
from jobworker.ballast import Ballast
from jobworker.config.settings import Address, parse_address

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


@contextmanager
def published(path: Path, address: Address, ballast: Ballast) -> Iterator[None]:
    """Keeps ``address`` in the file at ``path`` meanwhile; a full disk gets ``ballast`` for it."""
    descriptor = ballast.relieve(partial(_publish, path, address))
    try:
        yield
    finally:
        with suppress(OSError):  # on a broken disk it stays, and without its lock means nothing
            path.unlink()
        os.close(descriptor)


def _publish(path: Path, address: Address) -> int:
    """Puts the address into the file; returns a descriptor of it, locked."""
    draft, descriptor = atomic_file.begin(str(path))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, f"{address}\n".encode())
        Path(draft).rename(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
