"""The move from the spool to the archive; of a job that never ran, every trace is removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing

from jobworker.errors import JobWorkerError
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.ports import Archive, Engine
from jobworker.jobs.room import Room
from jobworker.model import JobId
from jobworker.output.reader import NoOutput, OutputReader

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts to move a job to an archive whose disk is full. They grow, as
other programs make room rarely; room that we make ourselves is waited for."""

_CLEARING_PATIENCE = 5.0
"""Seconds that a removal waits for the job's directory to be cleared away. Its output is
gone by then; a supervisor may still wait for the disk to record its end."""


class Archiver:
    """Moves jobs out of the table, and tries again for as long as the archive cannot take them."""

    def __init__(
        self, engine: Engine, archive: Archive, live_jobs: LiveJobs, room: Room | None = None
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._live_jobs = live_jobs
        self._room = room or Room()
        self._failures: dict[JobId, int] = {}
        """How many attempts have failed, for each job that is on its way out."""
        self._clearing: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        retried = sum(failures > 0 for failures in self._failures.values())
        return f"<Archiver: {len(self._failures)} under way, {retried} of them retried>"

    async def archive(self, live: LiveJob) -> None:
        """Archives a job that has ended; its directory goes only after that.

        One that is removed meanwhile is left alone.
        """
        await self._until_done(live, self._archived)
        if live.phase is Phase.GONE:
            return
        # Without a pause since the attempt, lest a removal comes in between.
        self._live_jobs.remove_archived(live)
        await self._until_done(live, self._discarded)
        self._room.made()  # what was not kept: the scratch directory, the record

    async def remove(self, live: LiveJob) -> None:
        """Removes a job that has ended without archiving it; raises what the archive does.

        The output goes first, so that there is room to record the removal on a disk that
        the output has filled. An attempt to archive the job that is under way ends before.
        """
        async with live.moving:
            if live.phase is Phase.GONE:  # it was archived, or removed, at the same moment
                await self.remove_archived(live.job.id)
                return
            await self._engine.shed(live.job.id)
            self._room.made()
            await self._archive.drop(live.job.id)
            self._live_jobs.remove(live)
        clearing = asyncio.ensure_future(self._engine.discard(live.job.id))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._cleared)
        await asyncio.wait({clearing}, timeout=_CLEARING_PATIENCE)

    async def remove_archived(self, job_id: JobId) -> None:
        """Removes a job from the archive; raises what that does."""
        self._live_jobs.forget(job_id)
        await self._archive.remove(job_id)

    async def close(self) -> None:
        """Leaves to the next server what is not cleared away by now."""
        for task in self._clearing:
            task.cancel()
        await asyncio.gather(*self._clearing, return_exceptions=True)

    async def roll_back(self, live: LiveJob) -> None:
        """Removes every trace of a job that never ran.

        Its start is answered after the first attempt, whatever comes of that.
        """

        async def attempt(live: LiveJob) -> bool:
            done = await self._rolled_back(live)
            live.advance(Phase.GONE)
            return done

        await self._until_done(live, attempt)
        self._live_jobs.remove(live)

    def output(self, live: LiveJob) -> OutputReader:
        """A reader of what a live job has written so far."""
        if live.job.end and live.job.end.is_silent:
            return NoOutput()
        try:
            return self._engine.output.reader(live.job.id)
        except FileNotFoundError:  # it is queued, or was lost before it had a directory
            return NoOutput()

    async def _archived(self, live: LiveJob) -> bool:
        async with live.moving:
            if live.phase is Phase.GONE:
                return True
            try:
                with closing(self.output(live)) as output:
                    await self._archive.finish(live.job, output)
            except (JobWorkerError, OSError) as error:
                self._say("cannot archive job %s, will try again: %s", live, error)
                return False
        return True

    async def _discarded(self, live: LiveJob) -> bool:
        try:
            await self._engine.discard(live.job.id)
        except OSError as error:  # where a crowd of clients has all descriptors, for one
            self._say("cannot clear away job %s, will try again: %s", live, error)
            return False
        return True

    async def _rolled_back(self, live: LiveJob) -> bool:
        try:
            await self._archive.roll_back(live.job.id)
            await self._engine.discard(live.job.id)
        except (JobWorkerError, OSError) as error:
            self._say("cannot roll back job %s, will try again: %s", live, error)
            return False
        return True

    def _say(self, message: str, live: LiveJob, error: Exception) -> None:
        """Logs the first failure of each job, and no more: a log may lie on the same disk."""
        level = logging.DEBUG if self._failures.get(live.job.id) else logging.WARNING
        log.log(level, message, live.job.id, error)

    def _cleared(self, task: asyncio.Future[None]) -> None:
        self._clearing.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("cannot clear away a removed job; the next start will: %s", error)
        self._room.made()

    async def _until_done(
        self, live: LiveJob, attempt: Callable[[LiveJob], Awaitable[bool]]
    ) -> None:
        delay = FIRST_RETRY
        self._failures[live.job.id] = 0
        try:
            while not await attempt(live):
                self._failures[live.job.id] += 1
                await self._room.wait(delay)
                delay = min(2 * delay, LAST_RETRY)
        finally:
            del self._failures[live.job.id]
