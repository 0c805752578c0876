"""The parts of a manager, put together as it does, over the fakes: each to be tested alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from jobworker.jobs.archiver import Archiver
from jobworker.jobs.controller import Controller
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.outputs import Outputs
from jobworker.jobs.queries import Queries
from jobworker.jobs.starter import Starter
from jobworker.model import Grant, Job, JobId, Queued, Spec, Starting, Terms
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.testing import FakeClock, FakeEngine, MemoryArchive, MemoryOwners

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

BUDGET = 5.0
"""Seconds for what takes a few turns of the loop, on a machine that is busy."""


def new_job(*, queued: bool = False, owner: str = "alice") -> Job:
    """A job that was just accepted."""
    status = Queued() if queued else Starting()
    return Job(JobId.new(), owner, Spec("/bin/true"), Terms(), status, MOMENT, "basic", "fake")


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(BUDGET):
        while not condition():  # noqa: ASYNC110 - turns of the loop, not time
            await asyncio.sleep(0)


class Parts:
    """One of each part; ``running`` bounds how many jobs may run at once."""

    def __init__(
        self,
        *,
        running: int | None = None,
        engine: FakeEngine | None = None,
        archive: MemoryArchive | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.engine = engine or FakeEngine(clock=self.clock)
        self.archive = archive or MemoryArchive()
        self.owners = MemoryOwners()
        self.authority = Authority(Rules(queue=QueueBounds(running=running)))
        self.live_jobs = LiveJobs()
        self.archiver = Archiver(self.engine, self.archive, self.live_jobs)
        self.controller = Controller(
            self.engine,
            self.archive,
            self.owners,
            self.clock,
            self.authority,
            self.live_jobs,
            self.archiver,
        )
        self.starter = Starter(
            self.engine,
            self.archive,
            self.owners,
            self.clock,
            self.authority,
            self.live_jobs,
            self.controller,
        )
        self.queries = Queries(self.archive, self.live_jobs)
        self.outputs = Outputs(
            self.engine, self.archive, self.live_jobs, self.archiver, self.queries
        )
        self.engine.listen(self.controller.apply)

    async def accept(self, *, queued: bool = False, owner: str = "alice") -> LiveJob:
        """Record a job and register it, without the starter."""
        job = new_job(queued=queued, owner=owner)
        await self.archive.add(job)
        live = LiveJob(job, Phase.QUEUED if queued else Phase.STARTING)
        self.live_jobs.register(live)
        return live

    async def run(self) -> LiveJob:
        """A job that takes a running slot and runs, without the starter."""
        phase = self.controller.enter("alice")
        assert phase is Phase.STARTING
        live = await self.accept()
        await self.controller.hand_over(live, 0, Grant())
        await asyncio.wait_for(live.reached(Phase.BEGUN), BUDGET)
        return live

    async def archived(self) -> Job:
        """A job that has run, exited with 0 and is in the archive."""
        live = await self.run()
        self.engine.exit(live.job.id)
        await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
        return live.job


@asynccontextmanager
async def composed(
    *,
    running: int | None = None,
    engine: FakeEngine | None = None,
    archive: MemoryArchive | None = None,
) -> AsyncIterator[Parts]:
    """The parts, and no task of theirs left behind."""
    parts = Parts(running=running, engine=engine, archive=archive)
    try:
        yield parts
    finally:
        await parts.controller.close()
