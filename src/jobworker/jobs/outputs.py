"""The output of jobs: whole, by ranges, as bytes or frames, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from jobworker.jobs.archiver import Archiver
from jobworker.jobs.live import LiveJobs, Phase
from jobworker.jobs.ports import Archive, Engine
from jobworker.jobs.queries import Queries
from jobworker.model import End, Output, Piece, Queued, Stream
from jobworker.output import spans
from jobworker.output.follower import CHUNK, Follower
from jobworker.output.frames import BOTH, Frame, FrameReader, Selection
from jobworker.output.reader import OutputReader
from jobworker.output.tail import start_of

BatchSize = Callable[[], int]
"""A function that gives the most bytes to read at once, as many as there is room for now."""


def whole_chunk() -> int:
    """Room for a whole chunk."""
    return CHUNK


class Outputs:
    """The output of the jobs of one engine and one archive."""

    def __init__(
        self,
        engine: Engine,
        archive: Archive,
        live_jobs: LiveJobs,
        archiver: Archiver,
        queries: Queries,
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._live_jobs = live_jobs
        self._archiver = archiver
        self._queries = queries

    async def output(self, job_id: str) -> Output:
        """All kept output of the job so far; raises ``JobNotFound``."""
        end = self._queries.status(job_id).end
        with closing(self.reader(job_id)) as reader:
            return await asyncio.to_thread(_read_all, reader, end)

    def reader(self, job_id: str) -> OutputReader:
        """A reader of the output by ranges; to be closed. Raises ``JobNotFound``."""
        job = self._queries.status(job_id)
        if live := self._live_jobs.get(job.id):
            return self._archiver.output(live)
        return self._archive.output(job.id)

    async def follow(
        self, job_id: str, stream: Stream, offset: int = 0, *, room: BatchSize = whole_chunk
    ) -> AsyncGenerator[bytes]:
        """The bytes of a stream from ``offset``, as they come, until the job has ended.

        Bytes that are not kept any more when their turn comes are left out. ``room`` gives the
        most bytes to read at once.
        """
        most = 0

        def read(reader: OutputReader, _: End | None) -> Piece | None:
            nonlocal most
            most = room()
            piece = reader.read(stream, offset, most)
            return piece if piece.data else None

        with closing(self._follower(job_id)) as follower:
            while piece := await follower.next(read):
                if len(piece.data) < most:
                    follower.release()
                offset = piece.end
                yield piece.data

    async def frames(
        self,
        job_id: str,
        wanted: Selection | None = None,
        *,
        tail: int | None = None,
        follow: bool = True,
        idle: float | None = None,
        room: BatchSize = whole_chunk,
    ) -> AsyncGenerator[list[Frame]]:
        """Both streams in the order in which they came, until the job has ended.

        With ``tail`` they begin with that many of the lines so far, the last ones. Without
        ``follow`` they end with the output so far. An empty list comes whenever nothing has
        come for ``idle`` seconds; ``room`` gives the most bytes of a list. Raises
        ``JobNotFound``.
        """
        wanted = wanted or Selection()
        with closing(self._follower(job_id)) as follower:
            if tail is not None:
                after = await follower.once(partial(start_of, tail, wanted.streams))
                wanted = replace(wanted, after=after)
            frames = FrameReader(wanted)

            def read(reader: OutputReader, end: End | None) -> list[Frame]:
                most = room()
                return frames.read(reader, end, most, largest=most)

            if follow:
                while (more := await follower.next(read, wanted.until, idle)) is not None:
                    if frames.exhausted:
                        follower.release()
                    yield more
                return
            whole = await follower.once(lambda reader, _: sum(map(reader.size, BOTH)))
            while frames.position.seq < whole and (found := await follower.once(read)):
                yield found

    def _follower(self, job_id: str) -> Follower:
        return Follower(JobOutput(self, self._engine, self._live_jobs, self._queries, job_id))


class JobOutput:
    """The output of one job, live or archived (``output.source.Source``)."""

    def __init__(
        self,
        outputs: Outputs,
        engine: Engine,
        live_jobs: LiveJobs,
        queries: Queries,
        job_id: str,
    ) -> None:
        self._outputs = outputs
        self._engine = engine
        self._live_jobs = live_jobs
        self._queries = queries
        self._job_id = job_id

    def __repr__(self) -> str:
        return f"<JobOutput {self._job_id}>"

    def reader(self) -> OutputReader:
        """A reader of what there is now."""
        return self._outputs.reader(self._job_id)

    def end(self) -> End | None:
        """The job's end, or None; raises ``JobNotFound`` where it has been removed."""
        return self._queries.status(self._job_id).end

    def is_archived(self) -> bool:
        """Whether the job is not live any more."""
        return self._live_jobs.get(self._queries.status(self._job_id).id) is None

    def changes(self) -> Sequence[asyncio.Future[Any]]:
        """The next change of its files and its end; of a queued job its start."""
        job = self._queries.status(self._job_id)
        live = self._live_jobs.get(job.id)
        if live is None or job.ended:
            return ()
        if isinstance(job.status, Queued):
            return (live.reached(Phase.BEGUN),)
        try:
            return live.reached(Phase.ENDED), self._engine.output.change(job.id)
        except FileNotFoundError:
            return (live.reached(Phase.ENDED),)  # it was lost before it had a directory


def _read_all(reader: OutputReader, end: End | None) -> Output:
    kept = {stream: reader.spans(stream) for stream in (Stream.STDOUT, Stream.STDERR)}
    gaps = [spans.between(stream, held, end) for stream, held in kept.items()]
    stdout, stderr = (
        b"".join(spans.chunks(reader, stream, held, whole_chunk)) for stream, held in kept.items()
    )
    return Output(stdout, stderr, (*gaps[0], *gaps[1]))
