"""The move from the spool to the archive; of a job that never ran, every trace is removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing

from jobworker.errors import JobWorkerError
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.ports import Archive, Engine
from jobworker.model import JobId
from jobworker.output.reader import NoOutput, OutputReader

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts to move a job to an archive whose disk is full."""


class Archiver:
    """Moves jobs out of the table, and tries again for as long as the archive cannot take them."""

    def __init__(self, engine: Engine, archive: Archive, live_jobs: LiveJobs) -> None:
        self._engine = engine
        self._archive = archive
        self._live_jobs = live_jobs
        self._failures: dict[JobId, int] = {}
        """How many attempts have failed, for each job that is on its way out."""

    def __repr__(self) -> str:
        retried = sum(failures > 0 for failures in self._failures.values())
        return f"<Archiver: {len(self._failures)} under way, {retried} of them retried>"

    async def archive(self, live: LiveJob) -> None:
        """Archives a job that has ended; its directory goes only after that."""
        await self._until_done(live, self._archived)
        self._live_jobs.remove(live)
        await self._engine.discard(live.job.id)

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
        try:
            with closing(self.output(live)) as output:
                await self._archive.finish(live.job, output)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot archive job %s, will try again: %s", live.job.id, error)
            return False
        return True

    async def _rolled_back(self, live: LiveJob) -> bool:
        try:
            await self._archive.roll_back(live.job.id)
            await self._engine.discard(live.job.id)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot roll back job %s, will try again: %s", live.job.id, error)
            return False
        return True

    async def _until_done(
        self, live: LiveJob, attempt: Callable[[LiveJob], Awaitable[bool]]
    ) -> None:
        delay = FIRST_RETRY
        self._failures[live.job.id] = 0
        try:
            while not await attempt(live):
                self._failures[live.job.id] += 1
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY)
        finally:
            del self._failures[live.job.id]
