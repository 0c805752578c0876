"""Signals to real programs, at each level of containment that works here."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.errors import JobNotRunning
from jobworker.model import NO_LIMITS, Job, Level, Limits, Stopped, Stream
from jobworker.supervisor import records

LEVELS: list[Level] = [result.level for result in probe() if result.works]

ECHOES = "trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo bye; exit 5' TERM; echo ready; "
"""The beginning of a script that says what it hears."""

WAITS = "while :; do sleep 300 & wait $!; kill $!; done"
"""Its end: a shell acts on a trap once the program in its foreground has ended."""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
async def manager(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with opened(tmp_path, level) as manager:
        yield manager


@asynccontextmanager
async def opened(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=level) as manager:
        yield manager


async def start(manager: Manager, script: str, limits: Limits = NO_LIMITS) -> str:
    """Start a script and wait for its first line."""
    args = ["-c", script]
    job_id = await manager.start("/bin/sh", args, owner="alice", limits=limits)
    await hear(manager, job_id, b"ready\n")
    return job_id


async def hear(manager: Manager, job_id: str, expected: bytes) -> None:
    """Wait until the job has written this, and nothing else before."""
    heard = b""
    async with asyncio.timeout(20):
        async for data in manager.follow(job_id, Stream.STDOUT):
            heard += data
            if heard.startswith(expected):
                return
    raise AssertionError(f"the job wrote {heard!r}")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


def state_of(pid: int) -> str:
    return records.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]


def pid_of(job: Job) -> int:
    assert job.pid is not None
    return job.pid


async def test_the_program_hears_each_signal(manager: Manager) -> None:
    job_id = await start(manager, ECHOES + WAITS)
    heard = b"ready\n"
    for signal, line in (("HUP", b"hup\n"), ("SIGUSR1", b"usr1\n"), ("hup", b"hup\n")):
        await manager.signal(job_id, signal)
        heard += line
        await hear(manager, job_id, heard)
    await manager.signal(job_id, "TERM")
    job = await manager.wait(job_id, 20)
    assert (job.status.name, job.exit_code, job.reason) == ("Failed", 5, "exited with code 5")
    with pytest.raises(JobNotRunning):
        await manager.signal(job_id, "TERM")


async def test_a_job_under_limits_hears_them_too(manager: Manager) -> None:
    """It is started in another way."""
    job_id = await start(manager, ECHOES + WAITS, Limits(open_files=64))
    await manager.signal(job_id, "HUP")
    await hear(manager, job_id, b"ready\nhup\n")
    await manager.stop(job_id)


async def test_who_sent_the_signal_that_killed_it(manager: Manager) -> None:
    job_id = await start(manager, "echo ready; exec sleep 300")
    before = manager.status(job_id)
    await manager.signal(job_id, "HUP", by="root")
    job = await manager.wait(job_id, 20)
    assert (job.status.name, job.exit_code) == ("Failed", None)
    assert job.reason == "killed by SIGHUP, sent by root"
    assert job.end is not None
    assert before.started_at is not None
    evidence = dict(job.end.evidence)
    assert str(evidence.pop("sentAt")) > before.started_at.isoformat()
    assert evidence == {"signal": "SIGHUP", "sender": "root"}


async def test_kill_kills_and_takes_the_rest_along(manager: Manager) -> None:
    job_id = await start(manager, "setsid sleep 300 & echo ready; wait")
    await manager.signal(job_id, "KILL")
    job = await manager.wait(job_id, 20)
    assert job.reason == "killed by SIGKILL, sent by alice"


async def test_a_signal_that_we_did_not_send(manager: Manager) -> None:
    """Another one that we did send before is no evidence."""
    job_id = await start(manager, "trap 'kill -KILL $$' HUP; echo ready; " + WAITS)
    await manager.signal(job_id, "HUP")
    job = await manager.wait(job_id, 20)
    assert job.reason == "killed by SIGKILL"
    assert job.end is not None
    assert job.end.evidence == {"signal": "SIGKILL", "sender": "not jobd"}


async def test_only_the_program_hears_it(manager: Manager) -> None:
    """Its children do not, though they are in its process group."""
    child = f"trap 'echo child' HUP; echo ready; {WAITS}"
    job_id = await start(manager, f"sh -c {shlex.quote(child)} & trap 'echo parent' HUP; " + WAITS)
    for count in (1, 2):
        await manager.signal(job_id, "HUP")
        await hear(manager, job_id, b"ready\n" + count * b"parent\n")
    await manager.stop(job_id)
    assert (await manager.output(job_id)).stdout == b"ready\nparent\nparent\n"


async def test_stop_and_continue(manager: Manager) -> None:
    """A program that stands still is running, and can be stopped for good."""
    job_id = await start(manager, ECHOES + WAITS)
    pid = pid_of(manager.status(job_id))
    for _ in range(2):
        await manager.signal(job_id, "STOP")
        await until(lambda: state_of(pid) == "T")
        assert manager.status(job_id).status.name == "Running"
        await manager.signal(job_id, "CONT")
        await until(lambda: state_of(pid) != "T")
    await manager.signal(job_id, "STOP")
    await manager.signal(job_id, "HUP")
    await manager.signal(job_id, "CONT")
    await hear(manager, job_id, b"ready\nhup\n")
    await manager.signal(job_id, "STOP")
    await manager.stop(job_id, grace=10)
    job = manager.status(job_id)
    assert isinstance(job.status, Stopped)
    assert job.exit_code == 5


async def test_signals_over_a_restart(tmp_path: Path, level: Level) -> None:
    """Who sent it is known although the end is told to another server."""
    async with opened(tmp_path, level) as manager:
        job_id = await start(manager, ECHOES + WAITS)
        await manager.signal(job_id, "HUP")
        await hear(manager, job_id, b"ready\nhup\n")
    async with opened(tmp_path, level) as manager:
        await until(lambda: manager.status(job_id).pid is not None)
        await manager.signal(job_id, "USR1")
        await hear(manager, job_id, b"ready\nhup\nusr1\n")
        await manager.signal(job_id, "QUIT", by="root")
        job = await manager.wait(job_id, 20)
    assert job.reason == "killed by SIGQUIT, sent by root"


async def test_a_thousand_signals_leave_one_small_file(manager: Manager, tmp_path: Path) -> None:
    job_id = await start(manager, "trap '' HUP; echo ready; exec sleep 300")
    for _ in range(1000):
        await manager.signal(job_id, "HUP")
    spool = tmp_path / "state" / "spool" / job_id
    assert (spool / records.SIGNALS).stat().st_size < 100
    assert (spool / records.RECORD).stat().st_size <= 8192
    await manager.stop(job_id)


async def test_t23_a_stranger_with_the_programs_pid_hears_nothing(
    manager: Manager, tmp_path: Path
) -> None:
    """The program has the supervisor for its parent."""
    job_id = await start(manager, "trap '' HUP; echo ready; exec sleep 300")
    stranger = await asyncio.create_subprocess_exec("/bin/sleep", "300")
    directory = records.open_directory(str(tmp_path / "state" / "spool" / job_id))
    try:
        started = records.read(directory)[records.STARTED]
        moved = [(key, b"%d" % stranger.pid if key == "pid" else value) for key, value in started]
        records.append(directory, records.STARTED, moved)
    finally:
        os.close(directory)
    with pytest.raises(JobNotRunning):
        await manager.signal(job_id, "KILL")
    await manager.stop(job_id)
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()
