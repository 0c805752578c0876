"""The questions about jobs: status, lists, and waiting for an end. Nothing here changes a job.

A job is looked for among the live ones first, then among those that were archived just now,
then in the archive.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from jobworker.errors import JobNotFound
from jobworker.jobs.live import LiveJobs, Phase
from jobworker.jobs.ports import Archive
from jobworker.model import Job, JobId, JobQuery, Page

log = logging.getLogger(__name__)

_LISTING_PATIENCE = 1.0
"""Seconds that a list by status waits for ended jobs to move to the archive."""


def with_whole_spec(job: Job, archive: Archive) -> Job:
    """The job with its whole spec, which is read anew where it is cut; raises ``JobNotFound``."""
    if not job.cut:
        return job
    stored = archive.get(job.id)
    if stored is None:
        raise JobNotFound
    return replace(job, spec=stored.spec, cut=())


class Queries:
    """The jobs of one engine and one archive, as they stand."""

    def __init__(self, archive: Archive, live_jobs: LiveJobs) -> None:
        self._archive = archive
        self._live_jobs = live_jobs

    def whole(self, job_id: str) -> Job:
        """The job as it stands, with its whole spec; raises ``JobNotFound``."""
        return with_whole_spec(self.status(job_id), self._archive)

    def status(self, job_id: str) -> Job:
        """The job as it stands; it may be ``brief``. Raises ``JobNotFound``."""
        try:
            parsed = JobId.parse(job_id)
        except ValueError:
            raise JobNotFound from None
        if live := self._live_jobs.get(parsed):
            return live.shown()
        job = self._live_jobs.archived(parsed) or self._archive.get(parsed)
        if job is None:
            raise JobNotFound
        return job

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended, or as it stands after ``timeout`` seconds."""
        job = self.status(job_id)
        live = self._live_jobs.get(job.id)
        if live is None:
            return job
        try:
            async with asyncio.timeout(timeout):
                await live.reached(Phase.ENDED)
        except TimeoutError:
            pass
        return live.shown()

    async def list(self, query: JobQuery | None = None) -> Page:
        """One page of jobs, newest first; raises ``InvalidRequest`` for a bad cursor."""
        query = query or JobQuery()
        if query.status:
            await self._until_archived()
        page = await self._archive.find(query)
        found = [(self._live_jobs.get(job.id), job) for job in page.jobs]
        jobs = [live.job if live else job for live, job in found if not (live and live.refusal)]
        # A change that the archive does not know yet may be one of the status asked for.
        fitting = [job for job in jobs if query.status in (None, job.status.name)]
        if query.status and query.cursor is None:
            fitting = [*self._unarchived(query, {job.id for job in fitting}), *fitting]
        return replace(page, jobs=tuple(fitting))

    def _unarchived(self, query: JobQuery, found: set[JobId]) -> tuple[Job, ...]:
        """The ended jobs that the archive cannot take for now, all on the first page.

        On a full disk it is those that somebody looks for, to remove them.
        """
        ended = [live.job for live in self._live_jobs.ended() if live.job.id not in found]
        fitting = [job for job in ended if query.matches(job)]
        return tuple(sorted(fitting, key=lambda job: job.created_at, reverse=True))

    async def _until_archived(self) -> None:
        """Waits a moment for ended jobs to be archived, as only then their status is there."""
        moving = [live.reached(Phase.GONE) for live in self._live_jobs.ended()]
        if moving:
            try:
                async with asyncio.timeout(_LISTING_PATIENCE):
                    await asyncio.gather(*moving)
            except TimeoutError:
                log.info("the archive is behind")

    def warning(self, job: Job) -> str | None:
        """A sentence on what the job was asked to use but cannot see; or None."""
        live = self._live_jobs.get(job.id)
        return live.warning if live else None
