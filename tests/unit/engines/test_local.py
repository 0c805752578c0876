"""The parts of the engine of this machine as objects that tell how they are."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.cgroups import Cgroups
from jobworker.engines.local import monitor as monitor_module
from jobworker.engines.local.engine import LocalEngine
from jobworker.engines.local.janitor import Janitor
from jobworker.engines.local.monitor import Monitor
from jobworker.model import JobId
from jobworker.spool.record import StartRecord
from jobworker.spool.spool import Spool
from jobworker.testing import MemoryArchive, MemoryOwners

BUDGET = 20.0
"""Seconds for a process to start or end, on a machine that is busy with other tests."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[LocalEngine]:
    (tmp_path / "state").mkdir()
    async with LocalEngine.open(tmp_path / "state", "basic") as engine:
        yield engine


async def test_the_engine_shows_its_jobs_by_phase(engine: LocalEngine, tmp_path: Path) -> None:
    assert repr(engine) == "<LocalEngine basic: no jobs>"
    archive, owners = MemoryArchive(), MemoryOwners()
    async with Manager.open(
        tmp_path / "other", engine=engine, archive=archive, owners=owners
    ) as manager:
        job_id = await manager.start("/bin/sleep", ["1000"], owner="alice")
        assert repr(engine) == "<LocalEngine basic: 1 FOLLOWED>"
        await asyncio.wait_for(manager.stop(job_id), BUDGET)
        await asyncio.wait_for(manager.remove(job_id), BUDGET)  # once it is in the archive


async def test_the_link_shows_its_spawner(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    async with LocalEngine.open(tmp_path / "state", "basic") as engine:
        link: Any = engine._spawner
        pid = link._spawner._pid
        assert repr(link) == f"<SpawnerLink open to <SpawnerProcess {pid}>>"
    assert repr(link) == f"<SpawnerLink closed to <SpawnerProcess {pid}>>"


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


async def test_the_monitor_shows_how_many_it_waits_for(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=asyncio.subprocess.PIPE)
    pidfd = os.pidfd_open(process.pid)
    monkeypatch.setattr(monitor_module, "find_supervisor", lambda _: pidfd)
    monitor, gone = Monitor(spool), asyncio.Event()
    assert repr(monitor) == "<Monitor of 0 supervisors>"
    monitor.watch(JobId.new(), None, gone.set)
    assert repr(monitor) == "<Monitor of 1 supervisors>"
    process.kill()
    await asyncio.wait_for(gone.wait(), BUDGET)
    assert repr(monitor) == "<Monitor of 0 supervisors>"
    await process.wait()


async def test_t79_the_monitor_takes_a_bounded_number_of_descriptors(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has none is looked after by its lock, and gets one that becomes free."""
    jobs = [JobId.new() for _ in range(5)]
    processes = {
        job_id: await asyncio.create_subprocess_exec("/bin/cat", stdin=asyncio.subprocess.PIPE)
        for job_id in jobs
    }
    ended: dict[JobId, asyncio.Event] = {job_id: asyncio.Event() for job_id in jobs}
    starts = {
        job_id: StartRecord(1, datetime.now(UTC), process.pid, 0, "boot")
        for job_id, process in processes.items()
    }
    monkeypatch.setattr(
        monitor_module, "find_supervisor", lambda start: os.pidfd_open(start.supervisor)
    )
    locked = set(jobs)
    monkeypatch.setattr(spool, "is_supervised", lambda job_id: job_id in locked)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are wanted
    monitor = Monitor(spool, most=2)
    for job_id in jobs:
        monitor.watch(job_id, starts[job_id], ended[job_id].set)
    assert len(os.listdir("/proc/self/fd")) == before + 2  # noqa: PTH208 - names are wanted
    assert repr(monitor) == "<Monitor of 5 supervisors>"
    for job_id in reversed(jobs):
        locked.discard(job_id)
        processes[job_id].kill()
        await asyncio.wait_for(ended[job_id].wait(), BUDGET)
        assert sum(event.is_set() for event in ended.values()) == len(jobs) - len(locked)
        await processes[job_id].wait()
    assert repr(monitor) == "<Monitor of 0 supervisors>"
    monitor.close()


async def test_the_janitor_shows_what_waits_for_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def remove(_job_id: JobId, _seconds: float) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(BUDGET)

    monkeypatch.setattr(spool, "remove", remove)
    janitor = Janitor(spool, Cgroups())
    assert repr(janitor) == "<Janitor idle: 0 waiting, 0 abandoned>"
    tasks = [asyncio.create_task(janitor.remove(JobId.new(), abandoned=False))]
    await asyncio.wait_for(begun.wait(), BUDGET)
    tasks += [asyncio.create_task(janitor.remove(JobId.new(), abandoned=True))]
    await asyncio.sleep(0)
    assert repr(janitor) == "<Janitor at work on rounds: 1 waiting, 1 abandoned>"
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks), BUDGET)
    assert repr(janitor) == "<Janitor idle: 0 waiting, 0 abandoned>"
    await janitor.close()


async def test_a_job_that_takes_long_does_not_hold_up_the_others(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets slices of time in a lane of its own, until it is done."""
    large, slices, others_done = JobId.new(), 0, threading.Event()

    def remove(job_id: JobId, _seconds: float) -> None:
        nonlocal slices
        if job_id == large:
            slices += 1
            if not others_done.is_set():
                raise TimeoutError

    monkeypatch.setattr(spool, "remove", remove)
    janitor = Janitor(spool, Cgroups())
    first = asyncio.create_task(janitor.remove(large, abandoned=False))
    for _ in range(3):
        await asyncio.wait_for(janitor.remove(JobId.new(), abandoned=False), BUDGET)
    assert not first.done()
    others_done.set()
    await asyncio.wait_for(first, BUDGET)
    assert slices > 1
    await janitor.close()


async def test_a_janitor_that_is_closed_has_no_thread_in_the_spool(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, begun = threading.Lock(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def remove(_job_id: JobId, _seconds: float) -> None:
        with inside:
            loop.call_soon_threadsafe(begun.set)
            raise TimeoutError

    monkeypatch.setattr(spool, "remove", remove)
    janitor = Janitor(spool, Cgroups())
    task = asyncio.create_task(janitor.remove(JobId.new(), abandoned=False))
    await asyncio.wait_for(begun.wait(), BUDGET)
    await asyncio.wait_for(janitor.close(), BUDGET)
    assert repr(janitor) == "<Janitor idle: 1 waiting, 0 abandoned>"
    assert not inside.locked()
    task.cancel()
