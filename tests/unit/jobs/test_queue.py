"""Jobs that wait for a place: what their owners see, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import (
    JobNotRunning,
    JobWorkerError,
    ProgramNotFound,
    StorageFull,
    StorageUnavailable,
    TooManyJobs,
)
from jobworker.model import (
    Cause,
    Completed,
    Failed,
    Job,
    JobId,
    JobQuery,
    Queued,
    Running,
    Spec,
    StatusName,
    Stopped,
    Stream,
    Terms,
)
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.testing import FakeEngine, MemoryArchive

PATIENCE = 2
"""Seconds for what takes a few turns of the loop."""


def one_at_a_time() -> Authority:
    return Authority(Rules(queue=QueueBounds(running=1, queued=3)))


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def manager(
    tmp_path: Path, engine: FakeEngine, archive: MemoryArchive
) -> AsyncIterator[Manager]:
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=one_at_a_time()
    ) as manager:
        yield manager


async def start(manager: Manager, owner: str = "alice") -> JobId:
    return await asyncio.wait_for(manager.start("/bin/true", owner=owner), PATIENCE)


async def started(manager: Manager, job_id: JobId) -> None:
    for _ in range(100):  # turns of the loop: far more than it takes
        if isinstance(manager.status(job_id).status, Running):
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{job_id} is {manager.status(job_id).status}")


async def test_a_start_that_has_to_wait_is_acknowledged_at_once(
    manager: Manager, engine: FakeEngine
) -> None:
    first, second = await start(manager), await start(manager)
    assert isinstance(manager.status(second).status, Queued)
    engine.exit(first)
    await started(manager, second)
    engine.exit(second)
    assert isinstance((await manager.wait(second, PATIENCE)).status, Completed)


async def test_the_list_shows_who_waits(manager: Manager, engine: FakeEngine) -> None:
    first, second = await start(manager), await start(manager)
    queued = await manager.list(JobQuery(status=StatusName.QUEUED))
    assert [job.id for job in queued.jobs] == [second]
    engine.exit(first)
    await started(manager, second)
    assert (await manager.list(JobQuery(status=StatusName.QUEUED))).jobs == ()
    running = await manager.list(JobQuery(status=StatusName.RUNNING))
    assert [job.id for job in running.jobs] == [second]


async def test_who_comes_too_late_to_wait_is_told_so(manager: Manager) -> None:
    for _ in range(4):
        await start(manager)
    with pytest.raises(TooManyJobs):
        await start(manager)
    assert len((await manager.list()).jobs) == 4


async def test_a_stop_of_a_waiting_job_needs_nobody(manager: Manager, engine: FakeEngine) -> None:
    first, second = await start(manager), await start(manager)
    await asyncio.wait_for(manager.stop(second, by="root"), PATIENCE)
    job = manager.status(second)
    assert isinstance(job.status, Stopped)
    assert (job.reason, job.started_at) == ("stopped by root", None)
    assert engine.stops == []
    with pytest.raises(JobNotRunning):
        await manager.stop(second)
    engine.exit(first)
    third = await start(manager)
    assert isinstance(manager.status(third).status, Running), "the stopped one takes no place"


async def test_one_user_cannot_keep_another_waiting(manager: Manager, engine: FakeEngine) -> None:
    first = await start(manager)
    await start(manager)
    bobs = await start(manager, "bob")
    engine.exit(first)
    await started(manager, bobs)


async def test_a_program_that_turns_out_to_be_missing_is_a_failed_job(
    manager: Manager, engine: FakeEngine
) -> None:
    """It was acknowledged, so it may not vanish, and its place goes to the next."""
    first, second, third = [await start(manager) for _ in range(3)]
    engine.refuse_next(ProgramNotFound())
    engine.exit(first)
    job = await manager.wait(second, PATIENCE)
    assert isinstance(job.status, Failed)
    assert job.end is not None
    assert job.end.cause is Cause.START_FAILED
    assert job.end.evidence == {"code": "program_not_found"}
    assert job.reason == "could not be started: program not found"
    await started(manager, third)
    engine.exit(third)


async def test_a_refused_start_gives_its_place_back(manager: Manager, engine: FakeEngine) -> None:
    engine.refuse_next(ProgramNotFound())
    with pytest.raises(ProgramNotFound):
        await start(manager)
    assert isinstance(manager.status(await start(manager)).status, Running)


async def test_a_follower_waits_for_the_start_and_hears_all(
    manager: Manager, engine: FakeEngine
) -> None:
    first, second = await start(manager), await start(manager)

    async def follow() -> bytes:
        return b"".join([part async for part in manager.follow(second, Stream.STDOUT)])

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    engine.exit(first)
    await started(manager, second)
    engine.write(second, b"hello")
    engine.exit(second)
    assert await asyncio.wait_for(following, PATIENCE) == b"hello"


async def test_a_follower_of_a_waiting_job_that_is_stopped_is_let_go(manager: Manager) -> None:
    await start(manager)
    second = await start(manager)

    async def follow() -> list[bytes]:
        return [part async for part in manager.follow(second, Stream.STDOUT)]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await manager.stop(second)
    assert await asyncio.wait_for(following, PATIENCE) == []


async def test_who_waits_goes_on_waiting_after_a_restart(
    tmp_path: Path, engine: FakeEngine, archive: MemoryArchive
) -> None:
    """In the same order, behind what still runs."""
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=one_at_a_time()
    ) as manager:
        first, second, third = [await start(manager) for _ in range(3)]
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=one_at_a_time()
    ) as manager:
        await started(manager, first)
        assert [type(manager.status(job).status) for job in (second, third)] == [Queued, Queued]
        engine.exit(first)
        await started(manager, second)
        assert isinstance(manager.status(third).status, Queued)
        engine.exit(second)
        await started(manager, third)


class FullArchive(MemoryArchive):
    """Cannot record that a job is to start."""

    async def admit(self, job_id: JobId) -> None:  # noqa: ARG002 - the port's signature
        raise TooManyJobs  # any of our errors will do


async def test_a_job_that_cannot_be_recorded_as_started_is_not_started(
    tmp_path: Path, engine: FakeEngine
) -> None:
    """Or a crash could start it twice."""
    archive = FullArchive()
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=one_at_a_time()
    ) as manager:
        first, second = await start(manager), await start(manager)
        engine.exit(first)
        job = await manager.wait(second, PATIENCE)
        assert isinstance(job.status, Failed)
        with pytest.raises(KeyError):
            engine.account_of(second)


@pytest.mark.parametrize("error", [StorageFull(), StorageUnavailable()])
async def test_t74_a_queued_job_that_finds_no_room_stays_queued_and_starts_first(
    manager: Manager,
    engine: FakeEngine,
    archive: MemoryArchive,
    error: JobWorkerError,
) -> None:
    """Whether the supervisor, or the archive before it, lacks the room."""
    first = await start(manager)
    second, third = await start(manager), await start(manager)
    engine.refuse_next(error)
    engine.exit(first)
    await asyncio.wait_for(manager.wait(first), PATIENCE)
    for _ in range(100):  # turns of the loop: far more than it takes
        await asyncio.sleep(0)
    assert [type(manager.status(each).status) for each in (second, third)] == [Queued, Queued]
    found = archive.get(second)
    assert found
    assert isinstance(found.status, Queued), "a restart would lose it"
    await asyncio.wait_for(manager.remove(first), PATIENCE)
    await started(manager, second)
    assert isinstance(manager.status(third).status, Queued)
    engine.exit(second)
    await started(manager, third)
    engine.exit(third)


async def test_t74_a_job_that_was_stopped_while_it_found_no_room_is_stopped(
    manager: Manager, engine: FakeEngine
) -> None:
    first, second = await start(manager), await start(manager)
    engine.refuse_next(StorageFull())
    engine.exit(first)
    await asyncio.wait_for(manager.wait(first), PATIENCE)
    await asyncio.wait_for(manager.stop(second), PATIENCE)
    assert isinstance(manager.status(second).status, Stopped)
    third = await start(manager)
    await started(manager, third)
    engine.exit(third)


async def test_t75_a_job_that_was_admitted_and_never_ordered_runs_after_all(
    tmp_path: Path, engine: FakeEngine, archive: MemoryArchive
) -> None:
    """Its server was killed in between, and had answered with its ID."""
    job = Job(
        JobId.new(),
        "alice",
        Spec("/bin/true"),
        Terms(),
        Queued(),
        datetime.now(UTC),
        engine.containment,
        engine.node,
    )
    await archive.add(job)
    await archive.admit(job.id)
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=one_at_a_time()
    ) as manager:
        async with asyncio.timeout(PATIENCE):
            while not isinstance(manager.status(job.id).status, Running):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
        engine.exit(job.id)
