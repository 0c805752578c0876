"""A socket that the service manager listens on for us (sd_listen_fds(3)).

It stays open while the server restarts: nobody else can have the port, and who connects
meanwhile waits and is not refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from jobworker.config.settings import Address
from jobworker.errors import ConfigurationInvalid

_FIRST = 3
"""The descriptor of the first one (SD_LISTEN_FDS_START)."""

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class Inherited:
    """The socket, and the address that it listens on."""

    listener: socket.socket
    address: Address


def inherited(environ: MutableMapping[str, str] = os.environ) -> Inherited | None:
    """The socket that was handed to this process, or None; raises ``ConfigurationInvalid``.

    The variables are taken out of the environment: no child of ours is meant.
    """
    pid, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal() or count == "0":
        return None
    if count != "1":
        raise _unusable(f"{count} sockets were handed over (LISTEN_FDS), and it takes one")
    os.set_inheritable(_FIRST, False)
    try:
        listener = socket.socket(fileno=_FIRST)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise _unusable(f"descriptor {_FIRST} is not a socket: {error.strerror}") from None
    stream = listener.type == socket.SOCK_STREAM and listens
    if not stream or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise _unusable(f"descriptor {_FIRST} is not a TCP socket that listens")
    host, port, *_ = listener.getsockname()
    return Inherited(listener, Address(host, port))


def _unusable(why: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"cannot listen on what the service manager has handed over: {why}",
        hint="have one ListenStream=HOST:PORT in the socket unit",
    )
