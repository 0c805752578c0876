"""Looks at a job's output again whenever there may be more of it, until the job has ended.

The output may move to the archive between two looks, so each has a reader of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from jobworker.model import End
from jobworker.output.reader import OutputReader
from jobworker.output.source import Source

CHUNK = 256 * 1024
"""Bytes that a follower gets at once, and may hold in memory."""

PACE = 0.002
"""The least seconds between two looks that a follower is woken for: a program that writes
without a pause would have it look for each read of the supervisor's. Output that comes
after a pause is looked at at once."""

QUICK = 0.002
"""Seconds that a read may hold up the event loop. One that takes longer sends those after it
to a thread, until one is quick again."""

SOON = 0.1
"""Seconds that files are kept open for the next look."""

T = TypeVar("T")
Read = Callable[[OutputReader, End | None], T]
"""A function that reads what there is; an empty result or 0 counts as nothing."""


class Follower:
    """One reader of the output of one job; to be closed.

    It asks to be told of changes before it looks. The bytes it reads are in memory as a
    rule, and then a thread would cost more than the read; the first read, and those after
    a slow one, are made in a thread. While it is behind it goes on reading the files that
    it has open, but not for longer than ``SOON`` without a look: a deleted file stays on
    the disk until it is closed, and the follower's client may be slow.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._may_be_slow = True
        self._looked_at = 0.0
        self._open: tuple[OutputReader, End | None] | None = None
        self._releasing: asyncio.TimerHandle | None = None
        self._archived: tuple[OutputReader, End | None] | None = None
        self._changes: list[asyncio.Future[Any]] = []

    def __repr__(self) -> str:
        where = "archived" if self._archived else "open" if self._open else "waiting"
        return f"<Follower of {self._source!r}, {where}>"

    def close(self) -> None:
        """Stops listening and closes the files."""
        self._stop_listening()
        self.release()
        if self._archived is not None:
            reader, _ = self._archived
            reader.close()

    def _stop_listening(self) -> None:
        for change in self._changes:
            change.cancel()
        self._changes = []

    async def once(self, read: Read[T]) -> T:
        """The result of ``read``, which may take long, at this moment."""
        self._may_be_slow = True
        found, _ = await self._look(read)
        return found

    def release(self) -> None:
        """Closes the files of a live job, when the last look found less than it had room for."""
        if self._releasing is not None:
            self._releasing.cancel()
            self._releasing = None
        if self._open is not None:
            reader, _ = self._open
            reader.close()
            self._open = None

    async def next(
        self, read: Read[T], until: int | None = None, idle: float | None = None
    ) -> T | None:
        """The result of ``read`` once it finds anything; None where it never will.

        That is at the end of the job, or after the moment ``until`` (nanoseconds since
        1970). Where it finds nothing for ``idle`` seconds, the empty result is the answer.
        """
        if self._open is not None and (found := await self._read_on(read, *self._open)):
            return found
        deadline = None if idle is None else time.monotonic() + idle
        while True:
            if not self._changes or any(change.done() for change in self._changes):
                self._listen()
            found, over = await self._look(read)
            if found:
                return found
            if over or (until is not None and time.time_ns() >= until):
                return None
            if deadline is not None and time.monotonic() >= deadline:
                return found
            await asyncio.wait(
                self._changes,
                timeout=_patience(until, deadline),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if (early := self._looked_at + PACE - time.monotonic()) > 0:
                await asyncio.sleep(early)

    async def _look(self, read: Read[T]) -> tuple[T, bool]:
        """The result of ``read``, and whether there will never be more."""
        self.release()
        if self._archived is None:
            end = self._source.end()
            reader = self._source.reader()
            if not self._source.is_archived():
                return await self._read_on(read, reader, end), end is not None
            self._archived = reader, end
        found = await self._read(read, *self._archived)
        if not found:
            self._source.end()  # raises where the job has been removed
        return found, True

    async def _read_on(self, read: Read[T], reader: OutputReader, end: End | None) -> T:
        """The result of ``read`` in open files, which stay open if it finds anything."""
        if self._releasing is not None:
            self._releasing.cancel()
            self._releasing = None
        self._open = reader, end
        found = await self._read(read, reader, end)
        if found:
            self._releasing = asyncio.get_running_loop().call_later(SOON, self.release)
        else:
            self.release()
        return found

    async def _read(self, read: Read[T], reader: OutputReader, end: End | None) -> T:
        if self._may_be_slow:
            found, took = await asyncio.to_thread(_timed, read, reader, end)
        else:
            found, took = _timed(read, reader, end)
        self._may_be_slow = took > QUICK
        self._looked_at = time.monotonic()
        return found

    def _listen(self) -> None:
        """Asks to be told from now on when there may be more."""
        self._stop_listening()
        if self._archived is None:
            self._changes = list(self._source.changes())


def _timed(read: Read[T], reader: OutputReader, end: End | None) -> tuple[T, float]:
    """The result of ``read``, and the seconds that it took."""
    began = time.monotonic()
    found = read(reader, end)
    return found, time.monotonic() - began


def _patience(until: int | None, deadline: float | None) -> float | None:
    """Seconds to wait for a signal; None for ever."""
    limits = []
    if until is not None:
        limits.append(max(0.0, (until - time.time_ns()) / 1e9))
    if deadline is not None:
        limits.append(max(0.0, deadline - time.monotonic()))
    return min(limits, default=None)
