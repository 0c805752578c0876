"""The way to a server of this machine by its operator's socket, where its address fails.

Another process may have the port while the server restarts, or a crowd all connections. The
socket is for the account that runs the server, and is TLS with the same certificate: who
answers is checked as ever before the token goes over it.
"""

from __future__ import annotations

import os
import socket

from jobworker.errors import ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker.client.profiles import Profile

    OnDetour = Callable[[str], object]

LONGEST_PATH = 107
"""Bytes of the path of a socket (unix(7))."""


class Detour:
    """Whether and how the connections of one profile go by the socket.

    ``on_detour`` is called once with a sentence that says so.
    """

    def __init__(self, profile: Profile, on_detour: OnDetour | None = None) -> None:
        self._profile = profile
        self._on_detour = on_detour
        self._taken = profile.by_socket

    @property
    def first(self) -> bool:
        """Whether the socket is to be tried before the address."""
        return self._taken

    def connect(self) -> socket.socket | None:
        """A connection to the socket; None where there is none, or nobody serves it."""
        path = self._profile.socket
        if path is None:
            return None
        try:
            return _connect(path)
        except OSError:
            return None

    def insist(self) -> None:
        """Raises ``ServerUnreachable`` where the socket is the only way, and has failed."""
        if self._profile.by_socket:
            raise ServerUnreachable(
                f"cannot reach the server by {self._profile.socket}: nobody answers there",
                hint="see that jobd runs, and that this account may use its socket",
            )

    def take(self, failure: ServerUnreachable) -> None:
        """Notes that the socket serves where the address has failed."""
        if not self._taken and self._on_detour:
            self._on_detour(f"{failure}; going by the server's own socket {self._profile.socket}")
        self._taken = True


def _connect(path: str) -> socket.socket:
    """A connected socket that does not block; raises ``OSError``."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)  # a full queue is a failure like another
        if len(os.fsencode(path)) <= LONGEST_PATH:
            sock.connect(path)
        else:
            _connect_below(sock, *os.path.split(path))
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_below(sock: socket.socket, directory: str, name: str) -> None:
    within = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{within}/{name}")
    finally:
        os.close(within)
