"""What fails half-way, and what a crash leaves: no cgroup, no process (T19, T28, T52)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroup_delegation import LEAF
from jobworker.engines.host.enforcement import Enforcement
from jobworker.errors import LimitUnavailable, StartFailed
from jobworker.model import JobId, Limits, Spec
from support.limited_jobs import BUDGET, Jobs, Open
from support.waiting import until

ALL = Limits(memory=64 << 20, cpus=0.9, pids=20)


@pytest.mark.parametrize("limit", ["memory", "cpus", "pids", "tmp"])
async def test_t28_a_controller_that_is_missing_is_named(jobs: Jobs, limit: str) -> None:
    limits = [
        row if row.limit != limit else Enforcement(limit, None, "no controller", "get one")
        for row in jobs.engine.machine.limits
    ]
    jobs.engine.machine = replace(jobs.engine.machine, limits=limits)
    asked = {
        "memory": Limits(memory=1 << 30),
        "cpus": Limits(cpus=1),
        "pids": Limits(pids=9),
        "tmp": Limits(tmp=1 << 30),
    }
    with pytest.raises(
        LimitUnavailable, match=f"{limit} is not enforced here: no contr"
    ) as refused:
        await jobs.manager.submit(Spec("/bin/true", limits=asked[limit]), "alice")
    assert (refused.value.field, refused.value.hint) == (f"limits.{limit}", "get one")
    assert jobs.spool() == []


async def test_t52_a_cgroup_that_cannot_be_made_refuses_the_start(jobs: Jobs) -> None:
    """Its directories are gone while the spawner holds them, so that each mkdir fails."""
    if not jobs.keeps("memory", "cpus", "pids"):
        return
    for _, path in jobs.engine.machine.cgroups.directories:
        await asyncio.to_thread(Path(path).rmdir)
    with pytest.raises(StartFailed, match="No such"):
        await jobs.manager.submit(Spec("/bin/true", limits=ALL), "alice")
    until(lambda: jobs.spool() == [])
    assert (await jobs.manager.list()).jobs == ()
    ran = await jobs.run(Limits(nice=1), "/bin/echo", "on")
    assert ran
    assert ran[1] == "on\n"


async def test_t52_a_limit_that_the_kernel_does_not_take_refuses_the_start(jobs: Jobs) -> None:
    """Half of the job's cgroups are made by then: they go again."""
    if not jobs.keeps("memory", "cpus", "pids"):
        return
    too_many = Limits(memory=64 << 20, cpus=0.9, pids=1 << 40)
    with pytest.raises(StartFailed, match=r"pids\.max"):
        await jobs.manager.submit(Spec("/bin/true", limits=too_many), "alice")
    until(lambda: jobs.any_cgroups() == [])
    until(lambda: jobs.spool() == [])


async def test_t19_a_killed_supervisor_leaves_no_cgroup(jobs: Jobs) -> None:
    job = await jobs.start(ALL, "/bin/sh", "-c", "sleep 300 & sleep 300")
    if job is None:
        return
    assert jobs.cgroups_of(job.id)
    os.kill(parent_of(job.pid), signal.SIGKILL)
    ended = await jobs.manager.wait(job.id, BUDGET)
    assert ended.reason == "lost: its supervisor was killed"
    await asyncio.to_thread(until, lambda: jobs.cgroups_of(job.id) == [])


def parent_of(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_the_next_server_sweeps_what_a_crash_has_left(open_jobs: Open) -> None:
    """A cgroup with a process in it, of a job that has no supervisor; and one that has."""
    async with open_jobs() as jobs:
        if not jobs.keeps("memory", "cpus", "pids"):
            return
        alive = await jobs.start(ALL, "/bin/sleep", "300")
        assert alive
        stale = JobId.new()
        places = [Path(path) / stale for _, path in jobs.engine.machine.cgroups.directories]
        for place in places:
            place.mkdir()
    with left_behind(places) as process:
        async with open_jobs() as jobs:
            assert process.wait(BUDGET) == -signal.SIGKILL
            assert not [place for place in places if place.exists()]
            assert jobs.cgroups_of(alive.id)
            await jobs.manager.stop(alive.id)
            await asyncio.to_thread(until, lambda: jobs.any_cgroups() == [])


@contextmanager
def left_behind(places: list[Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "300"])
    try:
        for place in places:
            (place / "cgroup.procs").write_text(str(process.pid))
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_ceiling_that_cannot_be_kept_stops_the_server(
    open_jobs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobworker.engines.host.cgroups import Cgroups  # noqa: PLC0415
    from jobworker.engines.local import engine as local  # noqa: PLC0415

    nothing = Cgroups(missing={"memory": "no controller", "cpus": "none", "pids": "none"})
    monkeypatch.setattr(local, "find", lambda _: nothing)
    with pytest.raises(LimitUnavailable, match="memory of all jobs is not enforced here: no con"):
        async with open_jobs(ceiling=Limits(memory=1 << 30)):
            raise AssertionError("the server has started")


async def test_nothing_is_left_of_the_service_itself(open_jobs: Open) -> None:
    async with open_jobs() as jobs:
        directories = [Path(path) for _, path in jobs.engine.machine.cgroups.directories]
        assert all(path.is_dir() for path in directories)
    assert not [path for path in directories if path.exists()]
    cgroup_upkeep.leave(jobs.engine.machine.cgroups)  # again, to no harm


FIND = """
import sys
from pathlib import Path
from jobworker.engines import cgroup_upkeep
from jobworker.engines.cgroup_delegation import LEAF
from jobworker.engines.cgroups import find
found = find(Path("/some/state"))
print(sorted({version for version, _ in found.found.values()}))
print(Path("/proc/self/cgroup").read_text().splitlines()[-1])
cgroup_upkeep.leave(found)
print(*found.missing.values())
"""


def test_a_server_that_shares_its_cgroup_with_strangers_says_so() -> None:
    """pytest and its parent are in it, which are none of the child's children."""
    ended = subprocess.run([sys.executable, "-c", FIND], capture_output=True, text=True, check=True)
    versions, own, missing = ended.stdout.splitlines()
    if versions == "[]":
        assert "other processes" in missing or "Permission denied" in missing
    assert not own.endswith("/jobd-server")


def test_a_server_alone_in_its_cgroup_moves_to_a_leaf(own_cgroup: Path | None) -> None:
    """Where the hierarchy is v2: elsewhere it has no reason to move."""
    if own_cgroup is None:
        ended = subprocess.run([sys.executable, "-c", FIND], capture_output=True, check=True)
        assert b"2" not in ended.stdout.splitlines()[0]
        return
    (own_cgroup / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    fresh = own_cgroup / "fresh"
    fresh.mkdir()
    enter = f'echo 0 >{fresh}/cgroup.procs && exec "$@"'
    command = ["/bin/sh", "-c", enter, "sh", sys.executable, "-c", FIND]
    try:
        ended = subprocess.run(command, capture_output=True, check=True)
        versions, own, *_ = ended.stdout.decode().splitlines()
        assert versions == "[2]"
        assert own.endswith("/fresh/jobd-server")
    finally:
        (fresh / LEAF).rmdir()
        fresh.rmdir()
