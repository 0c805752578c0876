"""Follows growing output: many readers, one inotify descriptor, one watch a job."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import struct

from jobworker.futures import resolve

_IN_MODIFY = 0x0000_0002
_IN_CREATE = 0x0000_0100
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_EVENT = struct.Struct("iIII")
_READ = 65536

_libc = ctypes.CDLL(None, use_errno=True)
log = logging.getLogger(__name__)


POLL = 0.1
"""Seconds between looks at a directory that cannot be watched."""


class Watcher:
    """Wakes the readers that wait for a directory's files to grow (inotify(7)).

    The watch is made when the first reader waits and goes with the last one, so jobs
    that nobody follows cost nothing. Where the kernel has no more watches, or the file
    system supports none, the waiting readers are woken every ``POLL`` seconds.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self._timed: set[asyncio.Future[None]] = set()
        self._told = False
        self._closed = False
        self._fd = _libc.inotify_init1(_FLAGS)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._wake)

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values())) + len(self._timed)
        how = "closed" if self._closed else "inotify" if self._fd >= 0 else "no inotify"
        return f"<Watcher, {how}: {len(self._waiting)} watches, {waiting} waiting>"

    def close(self) -> None:
        """Releases every watch, and wakes the readers that still wait."""
        self._closed = True
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
        for watch in list(self._waiting):
            self._release(watch)
        for future in list(self._timed):
            resolve(future)

    def expect(self, path: str) -> asyncio.Future[None]:
        """A future that is done at the next change after this call, or in vain.

        The caller has to look at the files after the call and before waiting, or a change
        may be missed, and to cancel the future if it does not wait. Raises
        ``FileNotFoundError``.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = self._watch(path)
        if watch is None:
            self._time(future)
        else:
            self._waiting.setdefault(watch, set()).add(future)
            future.add_done_callback(lambda done: self._forget(watch, done))
        return future

    def _watch(self, path: str) -> int | None:
        """A watch of the kernel's, or None where none is available."""
        watch = -1
        if self._fd >= 0:
            watch = _libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY | _IN_CREATE)
        if watch >= 0:
            return int(watch)
        number = ctypes.get_errno()
        if number == errno.ENOENT:
            raise FileNotFoundError(number, os.strerror(number), path)
        if not self._told:
            self._told = True
            hint = "; raise fs.inotify.max_user_watches" if number == errno.ENOSPC else ""
            log.warning("output is looked for every %s s: %s%s", POLL, os.strerror(number), hint)
        return None

    def _time(self, future: asyncio.Future[None]) -> None:
        timer = asyncio.get_running_loop().call_later(POLL, resolve, future)
        self._timed.add(future)
        future.add_done_callback(self._timed.discard)
        future.add_done_callback(lambda _: timer.cancel())

    def _forget(self, watch: int, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(watch)
        if waiting is None:
            return
        waiting.discard(future)
        if not waiting:
            del self._waiting[watch]
            # Fails if the directory is gone, and the watch with it.
            _libc.inotify_rm_watch(self._fd, watch)

    def _wake(self) -> None:
        data = os.read(self._fd, _READ)
        offset = 0
        while offset < len(data):
            watch, _, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            self._release(watch)

    def _release(self, watch: int) -> None:
        for future in self._waiting.pop(watch, ()):
            resolve(future)
