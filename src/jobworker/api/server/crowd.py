"""Shares the server's connections out while there are many, by closing some.

granian has places for so many connections and no more, whoever holds them. So that nobody
is locked out by a crowd, the longest silent is closed rather than a newcomer refused: first
those who have not shown a good token, then idle ones of the user who has the most. What is
being answered is never cut, and while there are few nothing is closed at all.

The connections are sockets of this process, so they are found among its descriptors, and
``shutdown(2)`` on one is to granian as if its client had hung up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import socket
import stat
import struct
import termios
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from jobworker.api.callers import Callers, Client
from jobworker.api.server.gate import OWN_FILES, FdBudget

_log = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds for who connects to show a token, where many others do not: three lost packets of
a handshake take less. Where there are few, the deadlines of ``https`` hold."""

A_MOMENT = 0.05
"""Seconds within which an honest client begins to speak once it is connected."""

A_WHILE = 0.5
"""Seconds within which an honest client goes on, from one message of a handshake to the next."""

TELL_AGAIN = 60.0
"""Seconds between two lines of the log about it."""

_TCP_INFO = struct.Struct("=52xI72xQ")
"""Of ``struct tcp_info`` (linux/tcp.h): the milliseconds since data came, and how many bytes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection as one look has found it.

    ``user`` is None where no good token has come; ``busy`` while it waits for an answer.
    """

    fd: int
    client: Client
    user: str | None = None
    busy: bool = False
    answered: float = 0.0


@dataclass(frozen=True, slots=True)
class Stranger:
    """A connection without a good token: whether it has ``spoken``, and how long it is silent.

    Who has not spoken is silent since it was made.
    """

    seen: Seen
    spoken: bool
    silent_for: float


def surplus_strangers(strangers: Iterable[Stranger], budget: FdBudget) -> tuple[list[Seen], int]:
    """The connections without a token in the order in which to close them, and how many to.

    Who has been silent for a while goes before who has not, and within that who has not said
    a word before who is in the midst of a handshake. Who has come this moment goes last.
    """
    ordered = sorted(strangers, key=_patience)
    late = sum(one.silent_for > GRACE for one in ordered)
    at_once = len(ordered) - budget.strangers_at_most
    after_grace = min(late, len(ordered) - budget.strangers)
    return [one.seen for one in ordered], max(at_once, after_grace, 0)


def _patience(one: Stranger) -> tuple[bool, bool, bool, float]:
    """The place in the order: what is False is closed before what is True."""
    silent = one.silent_for
    return silent < A_WHILE, silent < A_MOMENT, one.spoken and silent >= A_MOMENT, -silent


def surplus_idle(seen: Sequence[Seen], most: int) -> Iterator[Seen]:
    """The idle connections to close, so that no more than ``most`` are left where it can be."""
    held = Counter(one.user for one in seen if one.user)
    idle: dict[str, list[Seen]] = {}
    for one in sorted(seen, key=lambda one: one.answered, reverse=True):
        if one.user and not one.busy:
            idle.setdefault(one.user, []).append(one)
    for _ in range(len(seen) - most):
        if not idle:
            return
        user = max(idle, key=lambda user: held[user])
        yield idle[user].pop()
        held[user] -= 1
        if not idle[user]:
            del idle[user]


class Crowd:
    """The connections of one port; ``look`` keeps them within their shares.

    A look takes 20 µs while there are few connections.
    """

    def __init__(self, port: int, budget: FdBudget, callers: Callers) -> None:
        self._port = port
        self._budget = budget
        self._callers = callers
        self._known: dict[int, Client | None] = {}
        self._told = -TELL_AGAIN
        self.closed = 0

    def __repr__(self) -> str:
        return f"<Crowd at port {self._port}: {self.closed} closed so far>"

    def look(self) -> int:
        """Closes what is too much; returns how many that were."""
        files = _open_files()
        few = len(files) <= OWN_FILES + self._budget.strangers
        if few and len(self._callers) <= 2 * self._budget.places:
            return 0
        seen = self._seen(files)
        self._callers.keep({one.client for one in seen})
        closed = self._close_strangers([one for one in seen if one.user is None])
        closed += _close(surplus_idle(seen, self._budget.connections + closed), len(seen))
        if closed:
            self._tell(closed)
        return closed

    def _close_strangers(self, seen: Sequence[Seen]) -> int:
        if len(seen) <= self._budget.strangers:
            return 0
        strangers = (_as_stranger(one) for one in seen)
        return _close(*surplus_strangers(filter(None, strangers), self._budget))

    def _seen(self, files: Iterable[int]) -> list[Seen]:
        """The connections among open files; what each is, is asked once."""
        known, seen = {}, []
        for fd in files:
            try:
                status = os.fstat(fd)
            except OSError:  # closed since they were listed
                continue
            if not stat.S_ISSOCK(status.st_mode) or status.st_ino in known:
                continue
            if status.st_ino in self._known:
                client = self._known[status.st_ino]
            else:
                client = _client(fd, self._port)
            known[status.st_ino] = client
            if client:
                seen.append(self._described(fd, client))
        self._known = known
        return seen

    def _described(self, fd: int, client: Client) -> Seen:
        caller = self._callers.get(client)
        if caller is None:
            return Seen(fd, client)
        return Seen(fd, client, caller.user, caller.in_hand > 0, caller.at)

    def _tell(self, closed: int) -> None:
        now = time.monotonic()
        self.closed += closed
        if now - self._told >= TELL_AGAIN:
            self._told = now
            _log.warning(
                "too many connections at once: the longest silent are closed (%s so far)",
                self.closed,
            )


def _close(candidates: Iterable[Seen], count: int) -> int:
    """Closes as many of them, in their order; returns how many it has closed."""
    closed = 0
    for one in candidates:
        if closed >= count:
            break
        with suppress(OSError), _opened(one.fd) as connection:
            # The descriptor may be another's by now; and who has sent what nobody has read
            # yet waits for us.
            if _peer(connection) == one.client and not _unread(connection):
                connection.shutdown(socket.SHUT_RDWR)
                closed += 1
    return closed


def _as_stranger(one: Seen) -> Stranger | None:
    """The length of its silence, as the kernel knows it; None where it is gone."""
    with suppress(OSError), _opened(one.fd) as connection:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        milliseconds, received = _TCP_INFO.unpack(told)
        return Stranger(one, received > 0, milliseconds / 1000)
    return None


def _client(fd: int, port: int) -> Client | None:
    """The client of a connection to our port; None where it is something else."""
    with suppress(OSError), _opened(fd) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            return _peer(connection) if connection.getsockname()[1] == port else None
    return None


@contextmanager
def _opened(fd: int) -> Iterator[socket.socket]:
    """The socket of a descriptor that is granian's to close; it takes no other descriptor."""
    connection = socket.socket(fileno=fd)
    try:
        yield connection
    finally:
        connection.detach()


def _peer(connection: socket.socket) -> Client:
    """The client as ASGI names it; raises ``OSError`` for a socket that listens."""
    host, port, *_ = connection.getpeername()
    return host.partition("%")[0], str(port)


def _unread(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", answer)[0])


def _open_files() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  names are wanted
    except OSError:  # no descriptor is left for the look: then all may be open
        return list(range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
