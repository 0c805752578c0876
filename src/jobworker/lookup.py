"""What can be asked of jobs: status, output, who waits for what. Nothing here changes a job.

A job is looked for among the live ones first, then in the archive.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace

from jobworker import spans
from jobworker.errors import JobNotFound
from jobworker.filing import Filing
from jobworker.model import (
    End,
    Job,
    JobId,
    JobQuery,
    Output,
    Page,
    Queued,
    Stream,
)
from jobworker.ports import Archive, Engine, OutputReader
from jobworker.seats import Seats

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
"""Bytes that a follower gets at once, and that it may hold in memory."""

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

    async def follow(self, job_id: str, stream: Stream, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a stream from ``offset``, as they come, until the job has ended.

        What is not kept any more when its turn comes is left out.
        """
        while True:
            job = self.status(job_id)
            with closing(self.reader(job.id)) as reader:
                piece = reader.read(stream, offset, _CHUNK)
            if piece.data:
                offset = piece.end
                yield piece.data
            elif job.ended:
                return
            else:
                await self._more_or_end(job.id, stream, offset)

    async def _more_or_end(self, job_id: JobId, stream: Stream, offset: int) -> None:
        seat = self._seats.get(job_id)
        if seat is None:
            return  # it moved to the archive this moment
        if isinstance(seat.job.status, Queued):
            await seat.begun.wait()
            return
        waits = [
            asyncio.ensure_future(self._engine.changed(job_id, stream, offset)),
            asyncio.ensure_future(seat.ended.wait()),
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        seat.shown()
        for wait in done:
            wait.result()

    async def list(self, query: JobQuery | None = None) -> Page:
        """One page of jobs, newest first; raises ``InvalidRequest`` for a bad cursor."""
        query = query or JobQuery()
        if query.status:
            await self._settle_ended()
        page = await self._archive.find(query)
        seats = [(self._seats.get(job.id), job) for job in page.jobs]
        jobs = (seat.job if seat else job for seat, job in seats if not (seat and seat.refusal))
        return replace(page, jobs=tuple(jobs))

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
        b"".join(spans.chunks(reader, stream, places, _CHUNK)) for stream, places in kept.items()
    )
    return Output(stdout, stderr, (*gaps[0], *gaps[1]))
