"""A job that stores more in its ``/tmp`` than it may.

On a disk with project quotas it cannot, which ``tests/faults/test_in_a_kernel.py`` has;
elsewhere the start is refused.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobworker.errors import ProgramNotFound
from jobworker.model import Job, Level, Limits, Stream
from jobworker.spool import quota
from jobworker.spool.quota import TmpQuota
from support import system_calls
from support.kernel import disk_on_tmp
from support.limited_jobs import BUDGET, Jobs, Open
from support.waiting import until

MB = 1 << 20
PYTHON = "/usr/bin/python3"
FULL = ("No space left on device", "Disk quota exceeded")
"""What XFS says, and what ext4 says."""

LEVELS = (None,) if os.geteuid() else ("full",) if disk_on_tmp() == "ext4" else ("full", "uid")
"""The levels differ in where the directory is, so one kind of file system will do for both."""

GET_NEXT, NEXT = 0x80_0009, struct.Struct("=8QII")
"""``Q_GETNEXTQUOTA`` and ``struct if_nextdqblk`` of quota.h."""

STORE = 'cd "$TMPDIR" && head -c {size} /dev/zero >file && echo stored'
HOLD = 'cd "$TMPDIR" && head -c 1000000 /dev/zero >file && echo stored && exec sleep 300'


@pytest.fixture(params=LEVELS)
async def jobs(request: pytest.FixtureRequest, open_jobs: Open) -> AsyncIterator[Jobs]:
    async with open_jobs(request.param) as opened:
        yield opened


def tmp_of(jobs: Jobs, job: Job) -> Path:
    if jobs.engine.containment == "full":
        return jobs.state / "spool" / job.id / "tmp"
    return Path(f"/tmp/jobd-{job.id}")


async def started(jobs: Jobs, size: int, script: str) -> tuple[Job, int] | None:
    """A job that has stored something and goes on, and its project."""
    job = await jobs.start(Limits(tmp=size), "/bin/sh", "-c", script)
    if job is None:
        return None
    async for _ in jobs.manager.follow(job.id, Stream.STDOUT):
        break
    return job, project_of(tmp_of(jobs, job))


def project_of(path: Path) -> int:
    directory = os.open(path, os.O_RDONLY)
    try:
        return quota.project_of(directory)
    finally:
        os.close(directory)


def limited() -> set[int]:
    """The projects of ours that there is a limit on, or that something is stored in."""
    place = os.open("/tmp", os.O_RDONLY)
    found = set()
    project = quota.FIRST
    try:
        while True:
            answer = quota._project_quota(GET_NEXT, place, project, bytes(NEXT.size))
            blocks, _, stored, files_at_most, _, files, _, _, _, project = NEXT.unpack(answer)
            if any((blocks, stored, files_at_most, files)):
                found.add(project)
            project += 1
    except OSError as error:
        assert error.errno in (errno.ENOENT, errno.ESRCH)  # noqa: PT017 - the end of the list
    finally:
        os.close(place)
    return found


def supervisor_of(job: Job) -> int:
    return int(Path(f"/proc/{job.pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_what_fits_is_stored_and_no_more(jobs: Jobs) -> None:
    limits = Limits(tmp=2 * MB)
    for size, says in ((1_900_000, ("stored",)), (2_200_000, FULL)):
        ran = await jobs.run(limits, "/bin/sh", "-c", STORE.format(size=size))
        if ran:
            assert any(word in ran[1] for word in says), ran[1]
            assert ("stored" in ran[1]) == (says == ("stored",))


async def test_many_small_files_are_too_much_as_well(jobs: Jobs) -> None:
    """A million empty ones would take no space that counts."""
    script = "import os\nfor n in range(3000): open(f'{os.environ[\"TMPDIR\"]}/{n}', 'w')"
    ran = await jobs.run(Limits(tmp=MB), PYTHON, "-c", script)
    if ran:
        assert ran[0].status.name == "Failed"
        assert any(word in ran[1] for word in FULL), ran[1]


async def test_one_that_is_full_is_no_matter_to_others(jobs: Jobs) -> None:
    holding = await started(jobs, MB, HOLD)
    if holding is None:
        return
    free = await jobs.run(Limits(), "/bin/sh", "-c", STORE.format(size=5_000_000))
    other = await jobs.run(Limits(tmp=8 * MB), "/bin/sh", "-c", STORE.format(size=5_000_000))
    assert free
    assert other
    assert [ran[1] for ran in (free, other)] == ["stored\n"] * 2
    await jobs.manager.stop(holding[0].id)


async def test_two_at_once_have_two_projects(jobs: Jobs) -> None:
    held = [await started(jobs, MB, HOLD) for _ in range(2)]
    projects = {project for _, project in filter(None, held)}
    if None not in held:
        assert len(projects) == 2
        assert projects == limited()
    for job, _ in filter(None, held):
        await jobs.manager.stop(job.id)


async def test_nothing_is_limited_once_it_has_ended(jobs: Jobs) -> None:
    holding = await started(jobs, MB, HOLD)
    if holding is None:
        return
    job, project = holding
    assert limited() == {project}
    await jobs.manager.stop(job.id)
    await jobs.end(job)
    await asyncio.to_thread(until, lambda: jobs.spool() == [])
    await asyncio.to_thread(until, lambda: limited() == set())


async def test_a_program_that_is_not_there_leaves_no_limit(jobs: Jobs) -> None:
    if not jobs.keeps("tmp"):
        return
    with pytest.raises(ProgramNotFound):
        await jobs.start(Limits(tmp=MB), "/bin/none")
    await asyncio.to_thread(until, lambda: limited() == set())


async def test_a_killed_supervisor_leaves_no_limit(jobs: Jobs) -> None:
    holding = await started(jobs, MB, HOLD)
    if holding is None:
        return
    job, _ = holding
    os.kill(supervisor_of(job), signal.SIGKILL)
    ended = await jobs.manager.wait(job.id, BUDGET)
    assert ended.reason == "lost: its supervisor was killed"
    await asyncio.to_thread(until, lambda: not tmp_of(jobs, job).exists())
    await asyncio.to_thread(until, lambda: limited() == set())


@pytest.mark.parametrize("level", LEVELS)
async def test_the_next_server_lifts_what_a_crash_has_left(open_jobs: Open, level: Level) -> None:
    async with open_jobs(level) as jobs:
        holding = await started(jobs, MB, HOLD)
        if holding is None:
            return
        job, project = holding
        supervisor = supervisor_of(job)
    os.kill(supervisor, signal.SIGKILL)
    assert limited() == {project}
    async with open_jobs(level) as jobs:
        ended = await jobs.manager.wait(job.id, BUDGET)
        assert ended.reason == "lost: its supervisor was killed"
        await asyncio.to_thread(until, lambda: limited() == set())


LEAVE = """
import fcntl, os, sys
os.chdir(os.environ["TMPDIR"])
for name in (".", "file"):
    fd = os.open(name, os.O_RDONLY | (0 if name == "." else os.O_CREAT))
    for request in map(int, sys.argv[1:]):
        try:
            fcntl.ioctl(fd, request, bytes(28))
        except OSError as error:
            pass
        else:
            print("done:", hex(request), name)
try:
    open("file", "wb").write(bytes(3000000))
except OSError as error:
    print(error.strerror)
"""


async def test_a_job_does_not_get_out_of_its_project(jobs: Jobs) -> None:
    """By the kernel's rules it may, were it not for the filter of system calls."""
    requests = [str(request) for request in system_calls.ATTRIBUTES]
    ran = await jobs.run(Limits(tmp=MB), PYTHON, "-c", LEAVE, *requests)
    if ran:
        assert ran[1].strip() in FULL


def test_a_project_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    """Whoever uses it: by its number alone one could not tell."""
    if not disk_on_tmp():
        return
    quotas = []
    projects = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        directory = os.open(tmp_path / name, os.O_RDONLY)
        quotas.append(TmpQuota(directory))
        os.close(directory)
        quotas[-1].limit(MB, seed=65_535)
        projects.append(project_of(tmp_path / name) - quota.FIRST)
    assert projects == [65_535, 0, 1]
    for one in quotas:
        one.remove()
    for name in ("a", "b", "c"):
        (tmp_path / name).rmdir()
    until(lambda: limited() == set())  # XFS counts files until it has put them away
