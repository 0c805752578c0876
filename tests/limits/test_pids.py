"""A job that starts more processes than it may (T11)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from jobworker.model import Limits, Stream
from support.adoption import everything_below
from support.limited_jobs import Jobs, Open
from support.waiting import until

PYTHON = "/usr/bin/python3"

FORK_UNTIL_REFUSED = """
import os, signal
made = 1
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        made += 1
except BlockingIOError:
    print(made)
"""

BOMB = """
import os, time
print("lit", flush=True)
while True:
    try:
        os.fork()
    except BlockingIOError:
        time.sleep(0.01)
"""


async def test_the_highest_limit_is_one_that_the_kernel_takes(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(pids=2**22), "/bin/true")
    if ran:
        assert ran[0].exit_code == 0


async def test_there_are_as_many_processes_as_allowed_and_no_more(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(pids=7), PYTHON, "-c", FORK_UNTIL_REFUSED)
    if ran:
        assert ran[1] == "7\n"
        assert ran[0].status.name == "Completed"


async def test_the_limit_is_exact_once_it_runs_and_the_job_is_alone_in_it(jobs: Jobs) -> None:
    """Whoever spawned it from within has left."""
    job = await jobs.start(Limits(memory=64 << 20, cpus=0.5, pids=5), "/bin/sleep", "300")
    if job is None:
        return
    places = jobs.cgroups_of(job.id)
    assert places
    until(lambda: [members_of(place) for place in places] == [[job.pid]] * len(places))
    counting = [place / "pids.max" for place in places if (place / "pids.max").exists()]
    assert [file.read_text() for file in counting] == ["5\n"]
    await jobs.manager.stop(job.id)


def members_of(cgroup: Path) -> list[int]:
    """All threads on v1, all processes on v2."""
    threads = cgroup / "tasks"
    file = threads if threads.exists() else cgroup / "cgroup.procs"
    return [int(pid) for pid in file.read_text().split()]


async def test_one_process_is_enough_for_a_program_that_needs_no_other(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(pids=1), "/bin/echo", "one")
    if ran:
        assert ran[1] == "one\n"


async def test_t11_a_fork_bomb_is_capped_and_can_be_stopped(open_jobs: Open) -> None:
    async with open_jobs() as jobs:
        before = everything_below()
        job = await jobs.start(Limits(pids=50), PYTHON, "-c", BOMB)
        if job is None:
            return
        async for _ in jobs.manager.follow(job.id, Stream.STDOUT):
            break
        until(lambda: len(born_since(before)) >= 50)
        await asyncio.sleep(0.5)  # time in which it would get further
        # One more is the supervisor.
        assert len(born_since(before)) <= 51
        begun = time.monotonic()
        await jobs.manager.stop(job.id)
        assert time.monotonic() - begun < 30
        assert jobs.manager.status(job.id).reason == "stopped by alice"
        until(lambda: born_since(before) == set())
        until(lambda: jobs.cgroups_of(job.id) == [])


def born_since(before: dict[int, str]) -> set[int]:
    return set(everything_below()) - set(before)


async def test_jobs_are_counted_apart(jobs: Jobs) -> None:
    """What one job has takes nothing from another of the same owner."""
    first = await jobs.start(Limits(pids=3), PYTHON, "-c", FORK_UNTIL_REFUSED + "signal.pause()")
    if first is None:
        return
    ran = await jobs.run(Limits(pids=3), PYTHON, "-c", FORK_UNTIL_REFUSED)
    assert ran
    assert ran[1] == "3\n"
    await jobs.manager.stop(first.id)
