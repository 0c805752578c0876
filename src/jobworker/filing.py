"""From the spool to the archive: what has ended is filed, what never ran is forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing

from jobworker.errors import JobWorkerError
from jobworker.model import Piece, Stream
from jobworker.ports import Archive, Engine, OutputReader, Span
from jobworker.seats import Seat, Seats

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts to move a job to an archive whose disk is full."""


class Filing:
    """Moves jobs out of the table, and tries again for as long as the archive cannot take them."""

    def __init__(self, engine: Engine, archive: Archive, seats: Seats) -> None:
        self._engine = engine
        self._archive = archive
        self._seats = seats

    async def file(self, seat: Seat) -> None:
        """The job's directory goes only after its record and output are in the archive."""
        await _until_done(lambda: self._filed(seat))
        self._seats.remove(seat)
        await self._engine.discard(seat.job.id)

    async def forget(self, seat: Seat) -> None:
        """Forget a job that never ran. Who asked for it is answered also where that fails."""

        async def forgotten() -> bool:
            done = await self._forgotten(seat)
            seat.archived.set()
            return done

        await _until_done(forgotten)
        self._seats.remove(seat)

    def output(self, seat: Seat) -> OutputReader:
        """What a live job has written so far."""
        if seat.job.end and seat.job.end.is_silent:
            return NoOutput()
        try:
            return self._engine.output(seat.job.id)
        except FileNotFoundError:  # it waits, or was lost before it had a directory
            return NoOutput()

    async def _filed(self, seat: Seat) -> bool:
        try:
            with closing(self.output(seat)) as output:
                await self._archive.finish(seat.job, output)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot archive job %s, will try again: %s", seat.job.id, error)
            return False
        return True

    async def _forgotten(self, seat: Seat) -> bool:
        try:
            await self._archive.withdraw(seat.job.id)
            await self._engine.discard(seat.job.id)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot forget job %s, will try again: %s", seat.job.id, error)
            return False
        return True


async def _until_done(attempt: Callable[[], Awaitable[bool]]) -> None:
    delay = FIRST_RETRY
    while not await attempt():
        await asyncio.sleep(delay)
        delay = min(2 * delay, LAST_RETRY)


class NoOutput:
    """The output of a job that never had any (``ports.OutputReader``)."""

    def size(self, stream: Stream) -> int:  # noqa: ARG002 - the port's signature
        """Nothing."""
        return 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:  # noqa: ARG002 - same
        """Nothing."""
        return ()

    def read(self, stream: Stream, offset: int, length: int) -> Piece:  # noqa: ARG002 - same
        """Nothing."""
        return Piece(offset, b"")

    def close(self) -> None:
        """Nothing is held open."""
