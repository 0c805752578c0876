"""The server's two allocators, told to give back what they do not need.

jemalloc, in granian's library, has what waits on connections; the heap of libc has what
Python, SQLite and OpenSSL take. Left alone both keep what a crowd of readers has taken, for
the next one: that is twice the server (``docs/decisions/memory-at-rest.md``).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from functools import partial
from typing import cast

_SETTING = "_RJEM_MALLOC_CONF"
"""The variable that granian's jemalloc reads, once, when it is loaded (jemalloc(3))."""

_GIVE_BACK = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0"
"""Pages that have been free for half a second go back, by a thread of its own: without one
they would wait for the next request, ten seconds from then."""


def set_up_jemalloc() -> None:
    """Has the jemalloc of granian give pages back; a setting of the operator's stays.

    It counts where granian is not loaded yet, and has to come before other threads, which
    may read the environment at the same moment (setenv(3)).
    """
    os.environ.setdefault(_SETTING, _GIVE_BACK)


PAUSE = 1.0
"""Seconds after which nothing more is expected to be let go of."""

LONGEST = 10.0
"""Most seconds that a trim is put off where more and more is let go of. One holds up whoever
takes memory meanwhile, the event loop among them: 1 ms for each 18 MB that it gives back."""

Trim = Callable[[], object]


def trim_of_libc() -> Trim | None:
    """The call by which libc gives back what is free in its heap; None where there is none.

    glibc has ``malloc_trim`` (malloc_trim(3)). musl has no such call.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return None
    return cast("Trim", partial(trim, ctypes.c_size_t(0)))


class Heap:
    """The heap of libc, trimmed in a thread once large things were let go of.

    It keeps what lies below anything that is in use, however little: after a crowd of
    readers that is most of what they took.
    """

    def __init__(self, trim: Trim | None) -> None:
        self._trim = trim
        self._timer: asyncio.TimerHandle | None = None
        self._first = 0.0
        self._last = 0.0

    def __repr__(self) -> str:
        state = "cannot be trimmed" if self._trim is None else "to be trimmed"
        return f"<Heap {state if self._timer or self._trim is None else 'at rest'}>"

    def let_go(self) -> None:
        """Takes note that something large is of no use any more."""
        if self._trim is None:
            return
        self._last = asyncio.get_running_loop().time()
        if self._timer is None:
            self._first = self._last
            self._wait()

    def close(self) -> None:
        """Trims no more."""
        self._trim = None
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        due = min(self._last + PAUSE, self._first + LONGEST)
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        """Trims, unless more was let go of meanwhile."""
        loop = asyncio.get_running_loop()
        if loop.time() < min(self._last + PAUSE, self._first + LONGEST):
            self._wait()
            return
        self._timer = None
        if self._trim is not None:
            loop.run_in_executor(None, self._trim)
