"""What can be asked of jobs: status, output, who waits for what. Nothing here changes a job.

A job is looked for among the live ones first, then in the archive.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from functools import partial

from jobworker import spans
from jobworker.errors import JobNotFound
from jobworker.filing import Filing
from jobworker.following import CHUNK, Look
from jobworker.frames import BOTH, Frame, Replay, Selection
from jobworker.model import End, Job, JobId, JobQuery, Output, Page, Piece, Stream
from jobworker.ports import Archive, Engine, OutputReader
from jobworker.seats import Seats
from jobworker.tail import start_of

log = logging.getLogger(__name__)

_LISTING_PATIENCE = 1.0
"""Seconds that a list by status waits for ended jobs to move to the archive."""


class Lookup:
    """The jobs of one engine and one archive, as they stand."""

    def __init__(self, engine: Engine, archive: Archive) -> None:
        self._engine = engine
        self._archive = archive
        self._seats = Seats()
        self._filing = Filing(engine, archive, self._seats)

    def status(self, job_id: str) -> Job:
        """The job as it stands; raises ``JobNotFound``."""
        try:
            parsed = JobId.parse(job_id)
        except ValueError:
            raise JobNotFound from None
        if seat := self._seats.get(parsed):
            return seat.shown()
        job = self._archive.get(parsed)
        if job is None:
            raise JobNotFound
        return job

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended, or as it stands after ``timeout`` seconds."""
        job = self.status(job_id)
        seat = self._seats.get(job.id)
        if seat is None:
            return job
        try:
            async with asyncio.timeout(timeout):
                await seat.ended.wait()
        except TimeoutError:
            pass
        return seat.shown()

    async def output(self, job_id: str) -> Output:
        """All that is kept of what the job has written so far; raises ``JobNotFound``."""
        end = self.status(job_id).end
        with closing(self.reader(job_id)) as reader:
            return await asyncio.to_thread(_read_all, reader, end)

    def reader(self, job_id: str) -> OutputReader:
        """Access to the output by ranges; to be closed. Raises ``JobNotFound``."""
        job = self.status(job_id)
        if seat := self._seats.get(job.id):
            return self._filing.output(seat)
        return self._archive.output(job.id)

    async def follow(self, job_id: str, stream: Stream, offset: int = 0) -> AsyncGenerator[bytes]:
        """The bytes of a stream from ``offset``, as they come, until the job has ended.

        What is not kept any more when its turn comes is left out.
        """

        def read(reader: OutputReader, _: End | None) -> Piece | None:
            piece = reader.read(stream, offset, CHUNK)
            return piece if piece.data else None

        with closing(self._look(job_id)) as look:
            while piece := await look.until_found(read):
                if len(piece.data) < CHUNK:
                    look.let_go()
                offset = piece.end
                yield piece.data

    def _look(self, job_id: str) -> Look:
        return Look(self._engine, self._seats, self.status, self.reader, job_id)

    async def frames(
        self,
        job_id: str,
        wanted: Selection | None = None,
        *,
        tail: int | None = None,
        follow: bool = True,
        idle: float | None = None,
    ) -> AsyncGenerator[list[Frame]]:
        """Both streams in the order in which they came, until the job has ended.

        With ``tail`` only the last lines of what there is now, and what comes then.
        Without ``follow`` no more than what there is now. An empty list comes whenever
        nothing has come for ``idle`` seconds. Raises ``JobNotFound``.
        """
        wanted = wanted or Selection()
        with closing(self._look(job_id)) as look:
            if tail is not None:
                after = await look.once(partial(start_of, tail, wanted.streams))
                wanted = replace(wanted, after=after)
            replay = Replay(wanted)
            read = partial(replay.read, most=CHUNK)
            if follow:
                while (more := await look.until_found(read, wanted.until, idle)) is not None:
                    if replay.exhausted:
                        look.let_go()
                    yield more
                return
            whole = await look.once(lambda reader, _: sum(map(reader.size, BOTH)))
            while replay.position.seq < whole and (found := await look.once(read)):
                yield found

    async def list(self, query: JobQuery | None = None) -> Page:
        """One page of jobs, newest first; raises ``InvalidRequest`` for a bad cursor."""
        query = query or JobQuery()
        if query.status:
            await self._settle_ended()
        page = await self._archive.find(query)
        seats = [(self._seats.get(job.id), job) for job in page.jobs]
        jobs = [seat.job if seat else job for seat, job in seats if not (seat and seat.refusal)]
        # What the archive did not know yet may have changed the status that was asked for.
        fitting = [job for job in jobs if query.status in (None, job.status.name)]
        return replace(page, jobs=tuple(fitting))

    async def _settle_ended(self) -> None:
        """The archive knows a job's final status once it has moved there: give it the time."""
        moving = [seat.archived.wait() for seat in self._seats.ended()]
        if moving:
            try:
                async with asyncio.timeout(_LISTING_PATIENCE):
                    await asyncio.gather(*moving)
            except TimeoutError:
                log.warning("the archive is behind: a list by status may miss ended jobs")

    def advice(self, job: Job) -> str | None:
        """What the job was asked to use but cannot see, in words; or None."""
        seat = self._seats.get(job.id)
        return seat.blind_spot if seat else None

    def owned(self, owner: str) -> frozenset[JobId]:
        """The live jobs of an owner."""
        return self._seats.owned(owner)


def _read_all(reader: OutputReader, end: End | None) -> Output:
    kept = {stream: reader.spans(stream) for stream in (Stream.STDOUT, Stream.STDERR)}
    gaps = [spans.between(stream, places, end) for stream, places in kept.items()]
    stdout, stderr = (
        b"".join(spans.chunks(reader, stream, places, CHUNK)) for stream, places in kept.items()
    )
    return Output(stdout, stderr, (*gaps[0], *gaps[1]))
