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
from contextlib import suppress
from dataclasses import dataclass

_log = logging.getLogger(__name__)

PAUSE = 0.25
"""Seconds between two looks: nothing announces that descriptors run short. A look takes some
10 µs. Should a crowd be faster, then the server is busy in vain up to the next look."""

_SPARE = 8  # the kernel's queue takes one more than it was told, and a look takes one

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
_DROP = (ctypes.c_uint64 * 1)(0x06)  # one instruction of classic BPF: return 0, so no byte passes

_LEAST_HOPS_LEFT = {  # ip(7); linux/in.h and linux/in6.h have the numbers
    socket.AF_INET: (socket.IPPROTO_IP, 21),  # IP_MINTTL
    socket.AF_INET6: (socket.IPPROTO_IPV6, 73),  # IPV6_MINHOPCOUNT
}
_ALL_HOPS_LEFT = 255

MAX_CONNECTIONS = 1024
"""Most connections at once; further ones wait in the kernel's queue, which is as long.

A TLS connection costs some 50 KiB. Fewer where the process may open few files.
"""


@dataclass(frozen=True, slots=True)
class FdBudget:
    """The file descriptors that this process may have, and what each part of them is for."""

    files: int

    @property
    def connections(self) -> int:
        """Connections served at once: each has its own descriptor, and a request opens some."""
        return min(MAX_CONNECTIONS, max(self.files // 4, 1))

    @property
    def queue(self) -> int:
        """Connections that the kernel may hold ready: once the gate is shut they still come.

        granian takes no number below 128.
        """
        return max(self.connections, 128)

    @property
    def limit(self) -> int:
        """The limit of open files in ordinary times: the rest is for the queue, and to spare."""
        return self.files - self.queue - _SPARE

    @property
    def shut_above(self) -> int:
        """The number of open files above which there is a crowd."""
        return self.files // 2

    @property
    def open_below(self) -> int:
        """The number below which it is over: under ``shut_above``, or the gate would flutter."""
        return self.files * 3 // 8


class AcceptGate:
    """Holds back the connections of one listening socket; ``watch`` shuts and opens it."""

    def __init__(self, listener: socket.socket, budget: FdBudget) -> None:
        self._listener = listener.dup()
        self._budget = budget
        self._filtered = False
        self.shut = False

    def __repr__(self) -> str:
        return f"<AcceptGate {'shut' if self.shut else 'open'}, {self._budget}>"

    async def watch(self) -> None:
        """Looks at the descriptors again and again, until cancelled."""
        self._limit(self._budget.limit)
        try:
            while True:
                self._look()
                await asyncio.sleep(PAUSE)
        finally:
            self._limit(self._budget.files)

    def close(self) -> None:
        """Closes our descriptor of the socket; nobody may watch any more."""
        self._listener.close()

    def _look(self) -> None:
        count = _open_files()
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
