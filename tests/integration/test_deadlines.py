"""Time limits: real programs that outstay them, and more time for those that need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.errors import JobNotRunning, LimitTooHigh, NoDeadline
from jobworker.model import (
    Cause,
    Completed,
    Failed,
    Job,
    Level,
    Limits,
    Role,
    Running,
    Spec,
    Stream,
    time_text,
)
from jobworker.policy.authority import Authority
from jobworker.policy.rules import RoleBounds, Rules

PATIENCE = 30
"""Seconds for what takes a second or two, on a machine that may be busy."""

LEVELS: list[Level] = [result.level for result in probe() if result.works]


@pytest.fixture(params=LEVELS)
async def manager(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=request.param) as manager:
        yield manager


async def start(manager: Manager, script: str, timeout: float | None, grace: float = 0) -> Job:
    spec = Spec("/bin/sh", ("-c", script), limits=Limits(timeout=timeout), grace=grace)
    return await manager.submit(spec, "alice")


async def ended(manager: Manager, job: Job) -> Job:
    job = await manager.wait(job.id, PATIENCE)
    assert job.ended
    return job


async def test_a_job_that_outstays_its_time_is_killed_as_a_whole(manager: Manager) -> None:
    """Also what has left its session and ignores every signal that can be ignored."""
    script = "trap '' TERM; (setsid sh -c \"trap '' TERM; sleep 300\" &); sleep 300"
    job = await ended(manager, await start(manager, script, 0.5))
    assert isinstance(job.status, Failed)
    assert job.end is not None
    assert (job.end.cause, job.exit_code) == (Cause.TIMEOUT, None)
    assert job.reason == "timed out after 0.5 s"
    assert job.end.started_at is not None
    deadline = time_text(job.end.started_at + timedelta(seconds=0.5))
    assert job.end.evidence == {"timeout": 0.5, "grace": 0.0, "deadline": deadline}
    assert job.end.finished_at - job.end.started_at >= timedelta(seconds=0.5)


async def test_a_program_may_use_the_grace_to_end_by_itself(manager: Manager) -> None:
    job = await start(manager, "trap 'echo bye; exit 7' TERM; while :; do sleep 0.1; done", 0.5, 60)
    job = await ended(manager, job)
    assert job.end is not None
    assert (job.end.cause, job.exit_code) == (Cause.TIMEOUT, 7)
    assert (await manager.output(job.id)).stdout == b"bye\n"


async def test_a_job_that_is_in_time_is_none_the_worse(manager: Manager) -> None:
    job = await ended(manager, await start(manager, "exit 0", 60))
    assert isinstance(job.status, Completed)
    assert job.end is not None
    assert job.end.evidence == {}


async def test_a_deadline_moves(manager: Manager) -> None:
    """It outlives the deadline that it had, told by the clock that it writes."""
    job = await start(manager, "sleep 1.5; echo still here; sleep 300", 1)
    assert isinstance(job.status, Running)
    assert job.deadline == job.status.started_at + timedelta(seconds=1)
    deadline = await manager.extend(job.id, 600, by="bob")
    assert deadline == job.deadline + timedelta(seconds=600)
    assert manager.status(job.id).deadline == deadline
    async with asyncio.timeout(PATIENCE):
        async for data in manager.follow(job.id, Stream.STDOUT):
            assert data == b"still here\n"
            break
    await manager.stop(job.id)


def at_most(seconds: float) -> Authority:
    return Authority(Rules(bounds={Role.USER: RoleBounds(ceilings=Limits(timeout=seconds))}))


async def test_more_time_than_the_ceiling_is_refused(tmp_path: Path) -> None:
    async with Manager.open(tmp_path / "state", authority=at_most(120)) as manager:
        with pytest.raises(LimitTooHigh):
            await start(manager, "sleep 300", 121)
        job = await start(manager, "sleep 300", 60)
        before = manager.status(job.id).deadline
        with pytest.raises(LimitTooHigh):
            await manager.extend(job.id, 61)
        assert manager.status(job.id).deadline == before
        await manager.extend(job.id, 60)
        with pytest.raises(LimitTooHigh):
            await manager.extend(job.id, 0.1)
        await manager.stop(job.id)
        with pytest.raises(JobNotRunning):
            await manager.extend(job.id, 1)


async def test_without_a_time_limit_there_is_nothing_to_extend(manager: Manager) -> None:
    job = await start(manager, "sleep 300", None)
    assert job.deadline is None
    with pytest.raises(NoDeadline):
        await manager.extend(job.id, 1)
    await manager.stop(job.id)


async def test_a_deadline_outlives_the_server(tmp_path: Path) -> None:
    """It is the supervisor's, and it passes while nobody else is there."""
    async with Manager.open(tmp_path / "state") as manager:
        short = await start(manager, "sleep 300", 1)
        moved = await start(manager, "sleep 300", 1)
        deadline = await manager.extend(moved.id, 600, by="bob")
    async with Manager.open(tmp_path / "state") as manager:
        assert manager.status(moved.id).deadline == deadline
        job = await ended(manager, short)
        assert job.reason == "timed out after 1 s"
        assert not manager.status(moved.id).ended
        await manager.stop(moved.id)


async def test_a_stop_within_the_grace_of_a_time_limit_does_not_change_the_cause(
    manager: Manager,
) -> None:
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"
    job = await start(manager, script, 0.5, 300)
    async with asyncio.timeout(PATIENCE):
        heard = b""
        async for data in manager.follow(job.id, Stream.STDOUT):
            heard += data
            if b"asked" in heard:
                break
    with pytest.raises(JobNotRunning):
        await manager.stop(job.id)  # it ends at once, but not by the stop
    job = await ended(manager, job)
    assert job.end is not None
    assert job.end.cause is Cause.TIMEOUT
