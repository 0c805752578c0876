"""To whom a signal goes, and when there is nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import InvalidRequest, JobNotFound, JobNotRunning
from jobworker.model import SignalRequest
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.testing import FakeClock, FakeEngine, MemoryArchive, MemoryOwners


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def manager(tmp_path: Path, engine: FakeEngine) -> AsyncIterator[Manager]:
    authority = Authority(Rules(queue=QueueBounds(running=1)))
    async with Manager.open(
        tmp_path,
        engine=engine,
        archive=MemoryArchive(),
        owners=MemoryOwners(),
        authority=authority,
        clock=FakeClock(),
    ) as manager:
        yield manager


async def test_a_signal_goes_to_a_running_job(manager: Manager, engine: FakeEngine) -> None:
    job_id = await manager.start("/bin/true", owner="alice")
    assert await manager.signal(job_id, "hup") == "SIGHUP"
    assert await manager.signal(job_id, 10, by="root") == "SIGUSR1"
    now = FakeClock().now()
    requests = [SignalRequest(1, "alice", now), SignalRequest(10, "root", now)]
    assert engine.signals == [(job_id, request) for request in requests]


async def test_nothing_else_is_sent_one(manager: Manager, engine: FakeEngine) -> None:
    running = await manager.start("/bin/true", owner="alice")
    queued = await manager.start("/bin/true", owner="alice")
    with pytest.raises(JobNotRunning) as caught:
        await manager.signal(queued, "HUP")
    assert caught.value.hint == "its program has not been started yet"
    engine.exit(running)
    with pytest.raises(JobNotRunning):
        await manager.signal(running, "HUP")
    with pytest.raises(JobNotFound):
        await manager.signal("j-1", "HUP")
    with pytest.raises(InvalidRequest):
        await manager.signal(running, "FOO")
    assert not engine.signals
