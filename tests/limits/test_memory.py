"""A job that takes more memory than it may (T12)."""

from __future__ import annotations

import asyncio
import os

import pytest

from jobworker.errors import InvalidRequest
from jobworker.model import Cause, Job, Limits, Safeguards, Spec
from support.adoption import everything_below
from support.limited_jobs import Jobs, Open
from support.waiting import until

MB = 1 << 20
PYTHON = "/usr/bin/python3"
HOG = f"x = b'x' * (200 * {MB}); print('alive')"


def kills_of(job: Job) -> int:
    """On v2 the kernel counts the first one twice, where it goes on to kill the others."""
    assert job.end
    kills = job.end.evidence["oomKills"]
    assert isinstance(kills, int)
    return kills


async def test_t12_a_hog_is_killed_and_all_others_live(jobs: Jobs) -> None:
    before = everything_below()
    bystander = await jobs.manager.start("/bin/sleep", ["300"], owner="bob")
    ran = await jobs.run(Limits(memory=64 * MB), PYTHON, "-c", HOG)
    if ran:
        job, printed = ran
        assert (job.status.name, job.reason) == ("Failed", "out of memory (limit 64 MiB)")
        assert printed == ""
        end = job.end
        assert end
        assert (end.cause, end.signal, end.exit_code) == (Cause.OOM, "SIGKILL", None)
        assert end.evidence["memoryLimit"] == 64 * MB
        assert kills_of(job) >= 1
        peak = end.evidence.get("memoryPeak", 64 * MB)
        assert isinstance(peak, int)
        assert 60 * MB < peak <= 64 * MB
        until(lambda: jobs.cgroups_of(job.id) == [])
    assert not jobs.manager.status(bystander).ended
    assert set(before) <= set(everything_below())  # the spawner among them
    await jobs.manager.stop(bystander)


async def test_a_part_of_a_job_that_is_killed_takes_the_job_along(jobs: Jobs) -> None:
    """As the kernel does by itself on v2: what is left of the job would wait for nobody."""
    script = f'{PYTHON} -c "{HOG}"; sleep 300'
    ran = await jobs.run(Limits(memory=64 * MB), "/bin/sh", "-c", script)
    if ran:
        assert ran[0].end
        assert ran[0].end.cause is Cause.OOM
        assert kills_of(ran[0]) >= 1


async def test_who_takes_less_is_left_alone_and_measured(jobs: Jobs) -> None:
    ran = await jobs.run(Limits(memory=128 * MB), PYTHON, "-c", f"x = b'x' * (40 * {MB})")
    if ran:
        job, _ = ran
        assert job.status.name == "Completed"
        assert job.end
        assert job.end.evidence == {}
        assert 40 * MB < job.end.usage.peak_memory < 128 * MB


async def test_a_limit_that_no_program_fits_in_is_refused(jobs: Jobs) -> None:
    """Tiny: the process is killed before it executes anything, and that must be told."""
    if not jobs.keeps("memory"):
        return
    spec = Spec("/bin/true", limits=Limits(memory=4096))
    with pytest.raises(InvalidRequest, match=r"memory limit of 4 KiB is too small") as refused:
        await jobs.manager.submit(spec, "alice")
    assert refused.value.field == "limits.memory"
    until(lambda: not jobs.spool())
    until(lambda: not jobs.any_cgroups())


TIGHT = [16 << 10, 256 << 10, 768 << 10, MB, MB + (64 << 10), 2 * MB, 4 * MB]


@pytest.mark.parametrize("memory", TIGHT)
@pytest.mark.parametrize("arguments", [0, 15], ids=["no arguments", "large arguments"])
async def test_however_tight_a_start_is_refused_or_ends(
    jobs: Jobs, memory: int, arguments: int
) -> None:
    """Between what no program fits in and what all do, nothing hangs, and what is told is true."""
    if not jobs.keeps("memory"):
        return
    spec = Spec("/bin/true", ("x" * 100_000,) * arguments, limits=Limits(memory=memory))
    try:
        started = await jobs.manager.submit(spec, "alice")
    except InvalidRequest as error:
        outcome = str(error.field)
    else:
        end = (await jobs.end(started)).end
        assert end
        outcome = "completed" if end.exit_code == 0 else end.cause.value
    assert outcome in ("limits.memory", "completed", "oom")
    await asyncio.to_thread(until, lambda: not jobs.spool())
    await asyncio.to_thread(until, lambda: not jobs.any_cgroups())


@pytest.mark.parametrize("ceiling", [64 << 10, 768 << 10])
async def test_a_tight_ceiling_of_all_jobs_hangs_nothing(open_jobs: Open, ceiling: int) -> None:
    """A job's own limit is no measure of what there is."""
    async with open_jobs() as jobs:
        if not jobs.keeps("memory"):
            return
    async with open_jobs(ceiling=Limits(memory=ceiling)) as jobs:
        for limits in (Limits(memory=64 * MB), Limits()):
            try:
                started = await jobs.manager.submit(Spec("/bin/true", limits=limits), "alice")
            except InvalidRequest as error:
                outcome = str(error.field)
            else:
                end = (await jobs.end(started)).end
                assert end
                outcome = "completed" if end.exit_code == 0 else end.cause.value
            assert outcome in ("limits.memory", "completed", "oom")


async def test_all_jobs_together_have_a_ceiling(open_jobs: Open) -> None:
    """It holds for jobs without a limit of their own, and the victim is told by what."""
    async with open_jobs() as jobs:
        if not jobs.keeps("memory", "pids", "cpus"):
            return
    async with open_jobs(ceiling=Limits(memory=96 * MB, cpus=1.5, pids=300)) as jobs:
        job = await jobs.manager.start(PYTHON, ["-c", HOG], owner="alice")
        ended = await jobs.end(jobs.manager.status(job))
        assert ended.reason == "out of memory (limit 96 MiB)"
        small = await jobs.run(Limits(cpus=2.0, memory=64 * MB), "/bin/true")
        assert small
        assert small[0].status.name == "Completed"
    async with open_jobs() as jobs:
        free = await jobs.run(Limits(memory=400 * MB), PYTHON, "-c", HOG)
        assert free
        assert free[1] == "alive\n"


async def test_jobs_without_limits_share_a_safeguard_at_no_cost(open_jobs: Open) -> None:
    """T70: without a cgroup of its own, a hog is killed, and all others live."""
    async with open_jobs(safeguards=Safeguards(memory=96 * MB)) as jobs:
        quiet = await jobs.manager.start("/bin/sleep", ["300"], owner="bob")
        if jobs.engine.machine.safeguards.memory is None:
            assert not jobs.keeps("memory")
            await jobs.manager.stop(quiet)
            return
        hog = await jobs.manager.start(PYTHON, ["-c", HOG], owner="alice")
        assert jobs.cgroups_of(hog) == []
        ended = await jobs.end(jobs.manager.status(hog))
        assert ended.end
        assert ended.end.cause is Cause.OOM
        assert ended.end.evidence["memoryLimitOfAll"] == 96 * MB
        limited = await jobs.run(Limits(memory=400 * MB), PYTHON, "-c", HOG)
        assert limited
        assert limited[0].end
        assert limited[0].end.cause is Cause.OOM, "a limit of its own is below that of all"
        assert not jobs.manager.status(quiet).ended
        await jobs.manager.stop(quiet)


async def test_supervisor_and_server_stay_outside(jobs: Jobs) -> None:
    job = await jobs.start(Limits(memory=64 * MB, cpus=0.5, pids=20), "/bin/sleep", "300")
    if job is None:
        return
    inside = [
        [int(pid) for pid in (path / "cgroup.procs").read_text().split()]
        for path in jobs.cgroups_of(job.id)
    ]
    assert inside == [[job.pid]] * len(jobs.engine.machine.cgroups.directories)
    assert os.getpid() not in inside[0]
    await jobs.manager.stop(job.id)
    until(lambda: jobs.cgroups_of(job.id) == [])
