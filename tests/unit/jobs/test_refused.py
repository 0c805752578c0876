"""Who meets a job whose start is refused a moment later is told that there is none."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import JobNotFound, ProgramNotFound, StorageFull
from jobworker.model import Grant, Job, JobId, Stopped, StopRequest, Stream
from jobworker.testing import FakeEngine, MemoryArchive, MemoryOwners

PATIENCE = 2
"""Seconds for what takes a few turns of the loop."""


class SlowEngine(FakeEngine):
    """Refuses every start, but not before the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Future[JobId] = asyncio.get_running_loop().create_future()
        self.go_on = asyncio.Event()

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        self.asked.set_result(job.id)
        await self.go_on.wait()
        self.refuse_next(ProgramNotFound())
        await super().start(job, account, grant)


@pytest.fixture
async def engine() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
async def manager(tmp_path: Path, engine: SlowEngine) -> AsyncIterator[Manager]:
    async with Manager.open(
        tmp_path, engine=engine, archive=MemoryArchive(), owners=MemoryOwners()
    ) as manager:
        yield manager


async def follow(manager: Manager, job_id: str) -> bytes:
    return b"".join([part async for part in manager.follow(job_id, Stream.STDOUT)])


ACTS: dict[str, Callable[[Manager, str], Awaitable[object]]] = {
    "stop": Manager.stop,
    "wait": Manager.wait,
    "follow": follow,
}


@pytest.mark.parametrize("act", ACTS)
async def test_nobody_waits_for_a_job_that_never_was(
    manager: Manager, engine: SlowEngine, act: str
) -> None:
    """It is in the list from the moment it was accepted, so its ID can be known."""
    starting = asyncio.create_task(manager.start("/bin/none", owner="alice"))
    job_id = await engine.asked
    assert [job.id for job in (await manager.list()).jobs] == [job_id]
    acting = asyncio.ensure_future(ACTS[act](manager, job_id))
    await asyncio.sleep(0)
    engine.go_on.set()
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(acting, PATIENCE)
    with pytest.raises(ProgramNotFound):
        await starting


async def test_a_stop_does_not_make_a_refused_start_a_success(
    manager: Manager, engine: SlowEngine
) -> None:
    starting = asyncio.create_task(manager.start("/bin/none", owner="alice"))
    stopping = asyncio.create_task(manager.stop(await engine.asked))
    await asyncio.sleep(0)
    engine.go_on.set()
    with pytest.raises(ProgramNotFound):
        await starting
    stopping.cancel()


class FullArchive(MemoryArchive):
    """Cannot forget, for want of space."""

    async def withdraw(self, job_id: JobId) -> None:  # noqa: ARG002 - the port's signature
        raise StorageFull


async def test_a_refusal_is_answered_where_the_disk_is_full(
    tmp_path: Path, engine: SlowEngine
) -> None:
    """And nobody is shown the job that never was."""
    engine.go_on.set()
    async with Manager.open(tmp_path, engine=engine, archive=FullArchive()) as manager:
        with pytest.raises(ProgramNotFound):
            await asyncio.wait_for(manager.start("/bin/none", owner="alice"), PATIENCE)
        assert (await manager.list()).jobs == ()
        with pytest.raises(JobNotFound):
            manager.status(await engine.asked)


class ShortEngine(FakeEngine):
    """Has no descriptor left for the first stop."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = [OSError(errno.EMFILE, "Too many open files")]

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        if self.failures:
            raise self.failures.pop()
        await super().stop(job_id, stop)


async def test_t35_a_stop_that_cannot_be_passed_on_is_tried_again(tmp_path: Path) -> None:
    async with Manager.open(
        tmp_path, engine=ShortEngine(), archive=MemoryArchive(), owners=MemoryOwners()
    ) as manager:
        job_id = await manager.start("/bin/sleep", owner="alice")
        await asyncio.wait_for(manager.stop(job_id), PATIENCE)
        assert isinstance(manager.status(job_id).status, Stopped)
