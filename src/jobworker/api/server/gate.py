"""Holds new connections back while descriptors are short, before the server under us sees them.

granian accepts a connection before it counts it, and where there is no descriptor for one it
tries again at once and for ever, and gets to nothing else: a client that opened enough
connections without a word would have stopped the server for good. So a crowd is kept in the
network: the kernel drops what comes to the listening socket, clients try again by themselves,
and connections that are open are not touched.

It drops by a socket filter, for which newer kernels want CAP_NET_ADMIN. Without that the
socket asks for packets that have passed no router, by their time to live (RFC 5082): Linux
sends with 64 where nobody asks for another, so all of an honest crowd stays out, and of a
hostile one only clients on the same network that ask for 255 get in.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from jobworker.errors import ConfigurationInvalid

_log = logging.getLogger(__name__)

PAUSE_IN_A_CROWD = 0.05
"""Seconds while the gate is shut, which locks everybody out, or connections are closed."""

PAUSE = 0.25
"""Seconds between two looks: nothing announces that descriptors run short. A look takes some
10 µs. Should a crowd be faster, then the server is busy in vain up to the next look."""

_SPARE = 8  # the kernel's queue takes one more than it was told, and a look takes two

_LATE = 64
"""Most connections that come beside those of the queue: what was closed is open until granian
gets to it, and it gets to nothing once there is no descriptor left."""

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
_DROP = (ctypes.c_uint64 * 1)(0x06)  # one instruction of classic BPF: return 0, so no byte passes

_LEAST_HOPS_LEFT = {  # ip(7); linux/in.h and linux/in6.h have the numbers
    socket.AF_INET: (socket.IPPROTO_IP, 21),  # IP_MINTTL
    socket.AF_INET6: (socket.IPPROTO_IPV6, 73),  # IPV6_MINHOPCOUNT
}
_ALL_HOPS_LEFT = 255

MAX_CONNECTIONS = 1024
"""Most connections at once in ordinary times; in a crowd there are half as many more.

A TLS connection costs some 50 KiB. Fewer where the process may open few files.
"""

OWN_FILES = 48
"""Descriptors that the server needs for itself: 31 with one job that runs, and the rest for
its operator's socket, whose few connections must always find one."""

LEAST_FILES = 64
"""The limit of open files below which there is no server: nobody could connect."""


@dataclass(frozen=True, slots=True)
class FdBudget:
    """The file descriptors that this process may have, and what each part of them is for."""

    files: int

    @classmethod
    def of_this_process(cls) -> FdBudget:
        """By its limit of open files; raises ``ConfigurationInvalid`` where that is too low."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if files < LEAST_FILES:
            raise ConfigurationInvalid(
                f"cannot serve with {files} open files at most; it takes {LEAST_FILES}",
                hint="raise the limit: LimitNOFILE= in a unit of systemd, ulimit -n in a shell",
            )
        return cls(files)

    @property
    def connections(self) -> int:
        """Connections at once: each has its own descriptor, and a request opens some."""
        return min(MAX_CONNECTIONS, self._room // 4)

    @property
    def places(self) -> int:
        """Connections that granian may serve: past ``connections`` some are closed, soon."""
        return self.connections + self.strangers_at_most

    @property
    def lasting(self) -> int:
        """Requests that may last: the rest of the connections is for what is answered at once."""
        return self.connections * 3 // 4

    @property
    def stops(self) -> int:
        """Stops that may wait for a grace."""
        return max(self.connections // 8, 1)

    @property
    def strangers(self) -> int:
        """Connections without a good token that are left alone until their deadline."""
        return self.connections // 4

    @property
    def strangers_at_most(self) -> int:
        """The number of them above which the longest silent is closed at once."""
        return self.connections // 2

    @property
    def queue(self) -> int:
        """Connections that the kernel may hold ready: once the gate is shut they still come."""
        return min(max(self.connections, 128), self._room // 4)

    @property
    def limit(self) -> int:
        """The limit of open files in ordinary times: the rest is for the queue, and to spare."""
        return self.files - self.queue - min(max(self.queue - _SPARE, 0), _LATE) - _SPARE

    @property
    def shut_above(self) -> int:
        """The number of open files above which there is a crowd."""
        return min(OWN_FILES + self._free // 2, 16 * MAX_CONNECTIONS)

    @property
    def open_below(self) -> int:
        """The number below which it is over: under ``shut_above``, or the gate would flutter."""
        return self.shut_above - max(min(self._free, self.shut_above) // 8, 1)

    @property
    def _room(self) -> int:
        return self.files - OWN_FILES

    @property
    def _free(self) -> int:
        """Descriptors for connections, and for what they ask for, in ordinary times."""
        return self.limit - OWN_FILES


class AcceptGate:
    """Holds back the connections of one listening socket; ``watch`` shuts and opens it.

    It is shut only where closing some of those that are there is not enough.
    """

    def __init__(
        self, listener: socket.socket, budget: FdBudget, make_room: Callable[[], int] = lambda: 0
    ) -> None:
        """``make_room`` closes connections that are too many, and says how many that were."""
        self._listener = listener.dup()
        self._budget = budget
        self._make_room = make_room
        self._filtered = False
        self.shut = False
        self._open_what_is_shut()

    def __repr__(self) -> str:
        return f"<AcceptGate {'shut' if self.shut else 'open'}, {self._budget}>"

    async def watch(self) -> None:
        """Looks at the descriptors again and again, until cancelled."""
        self._limit(self._budget.limit)
        try:
            while True:
                closed = self._make_room()
                self._look(closed)
                await asyncio.sleep(PAUSE_IN_A_CROWD if closed or self.shut else PAUSE)
        finally:
            self._limit(self._budget.files)

    def close(self) -> None:
        """Closes our descriptor of the socket; nobody may watch any more."""
        self._listener.close()

    def _look(self, closing: int) -> None:
        """Shuts or opens the gate; ``closing`` files are still open, and about to be closed."""
        count = _open_files()
        # At the limit granian tries to accept and gets to nothing else, not to close either.
        if count < self._budget.limit:
            count -= closing
        if not self.shut and count > self._budget.shut_above:
            _log.warning("new connections wait: there are %s open files", count)
            self._drop()
            # What waits in the queue is still accepted, and must be before the server rests.
            self._limit(self._budget.files)
            self.shut = True
        elif self.shut and count < self._budget.open_below:
            self._limit(self._budget.limit)
            self._let_in()
            self.shut = False

    def _open_what_is_shut(self) -> None:
        """Opens a socket of the service manager's, which a killed server may have left shut."""
        with suppress(OSError):  # mostly there is no filter
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        self._want_hops_left(0)

    def _drop(self) -> None:
        """Has the kernel drop what comes to the listening socket."""
        try:
            self._attach_filter()
            self._filtered = True
        except PermissionError:
            self._want_hops_left(_ALL_HOPS_LEFT)
            self._filtered = False

    def _let_in(self) -> None:
        if self._filtered:
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        else:
            self._want_hops_left(0)

    def _attach_filter(self) -> None:
        program = _Program(len(_DROP), ctypes.addressof(_DROP))
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))

    def _want_hops_left(self, least: int) -> None:
        self._listener.setsockopt(*_LEAST_HOPS_LEFT[self._listener.family], least)

    def _limit(self, files: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError):  # somebody has brought the hard limit down meanwhile
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are wanted
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
