"""Starting, stopping, outliving: real programs under real supervisors (T16-T19, T21-T23)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.engines.local.engine import LocalEngine
from jobworker.errors import (
    InvalidRequest,
    JobNotFound,
    JobNotRunning,
    JobRunning,
    ProgramNotExecutable,
    ProgramNotFound,
    ServiceUnavailable,
    StartFailed,
    StateInUse,
)
from jobworker.model import Grant, Job, JobQuery, Level, StatusName, Stopping, Stream
from jobworker.supervisor import records
from support.adoption import everything_below
from support.supervisors import supervisor_of

STUBBORN = (
    "trap '' TERM HUP INT; (setsid sh -c \"trap '' TERM; (setsid sleep 300 &) ; sleep 300\" &) ;"
    "echo ready; while :; do sleep 300; done"
)
"""A tree that ignores SIGTERM, leaves its session and orphans its children."""

LEVELS: list[Level] = [result.level for result in probe() if result.works]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
async def manager(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with opened(tmp_path, level) as manager:
        yield manager


@asynccontextmanager
async def opened(tmp_path: Path, level: Level = "full") -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=level) as manager:
        yield manager


async def start(manager: Manager, script: str, **kwargs: object) -> str:
    return await manager.start("/bin/sh", ["-c", script], owner="alice", **kwargs)  # type: ignore[arg-type]


async def start_and_hear(manager: Manager, script: str) -> str:
    """Start a script and wait for its first output."""
    job_id = await start(manager, script)
    async for _ in manager.follow(job_id, Stream.STDOUT):
        return job_id
    raise AssertionError("the job ended without a word")


def spool_of(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "state" / "spool")  # noqa: PTH208 - names are wanted


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are wanted


async def until(condition: object, budget: float = 10.0) -> None:
    """Wait for a condition that nothing announces."""
    assert callable(condition)
    deadline = time.monotonic() + budget
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


async def test_a_program_runs_to_its_end(manager: Manager, level: Level) -> None:
    job_id = await start(manager, "echo out; echo err >&2; exit 3")
    job = await manager.wait(job_id, 20)
    assert (job.status.name, job.exit_code, job.reason) == ("Failed", 3, "exited with code 3")
    output = await manager.output(job_id)
    assert (output.stdout, output.stderr) == (b"out\n", b"err\n")
    assert job.end is not None
    assert job.end.usage.stdout_bytes == job.end.usage.stderr_bytes == 4
    assert job.end.started_at is not None
    assert job.created_at <= job.end.started_at <= job.end.finished_at
    assert job.containment == level


async def test_a_signal_is_named(manager: Manager) -> None:
    job = await manager.wait(await start(manager, "kill -SEGV $$"), 20)
    assert job.reason == "killed by SIGSEGV"
    assert job.exit_code is None
    job = await manager.wait(await start(manager, "kill -35 $$"), 20)
    assert job.reason == "killed by SIGRTMIN+1"


async def test_t16_a_stop_leaves_no_process(manager: Manager) -> None:
    before = everything_below()
    job_id = await start_and_hear(manager, STUBBORN)
    await until(lambda: len(set(everything_below()) - set(before)) > 3)
    begun = time.monotonic()
    await manager.stop(job_id, by="bob")
    assert time.monotonic() - begun < 1
    job = manager.status(job_id)
    assert (job.status.name, job.reason, job.exit_code) == ("Stopped", "stopped by bob", None)
    await until(lambda: set(everything_below()) <= set(before))


async def test_t16_a_grace_is_given_and_then_over(manager: Manager) -> None:
    job_id = await start_and_hear(manager, STUBBORN)
    begun = time.monotonic()
    await manager.stop(job_id, grace=0.3)
    assert 0.3 <= time.monotonic() - begun < 1.3


async def test_a_program_that_obeys_sigterm_keeps_its_exit_code(manager: Manager) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    job_id = await start_and_hear(manager, script)
    await manager.stop(job_id, grace=20)
    job = manager.status(job_id)
    assert (job.status.name, job.exit_code) == ("Stopped", 7)
    assert (await manager.output(job_id)).stdout == b"ready\nbye\n"


async def test_a_stop_cuts_the_grace_of_an_earlier_one_short(manager: Manager) -> None:
    job_id = await start_and_hear(manager, STUBBORN)
    gentle = asyncio.ensure_future(manager.stop(job_id, grace=300))
    await asyncio.sleep(0)
    await manager.stop(job_id)
    await gentle
    assert manager.status(job_id).status.name == "Stopped"


async def test_t17_concurrent_stops_agree(manager: Manager) -> None:
    job_id = await start_and_hear(manager, "echo x; sleep 300")
    await asyncio.gather(*(manager.stop(job_id) for _ in range(20)))
    with pytest.raises(JobNotRunning):
        await manager.stop(job_id)
    assert manager.status(job_id).status.name == "Stopped"


async def test_t17_a_stop_that_crosses_the_exit_has_one_outcome(manager: Manager) -> None:
    """Whichever comes first wins, and both the answer and the record say the same."""
    outcomes = set()
    for _ in range(30):
        job_id = await manager.start("/bin/true", owner="alice")
        try:
            await manager.stop(job_id)
            outcome = "Stopped"
        except JobNotRunning:
            outcome = "Completed"
        assert manager.status(job_id).status.name == outcome
        outcomes.add(outcome)
    assert outcomes <= {"Stopped", "Completed"}


async def test_t17_a_stop_before_the_exec(manager: Manager) -> None:
    """An admin may find the job in the list before its start has been answered."""
    starting = asyncio.ensure_future(start(manager, "sleep 300"))
    while not (jobs := (await manager.list()).jobs):  # noqa: ASYNC110 - a list tells of no change
        await asyncio.sleep(0)
    job_id = jobs[0].id
    await manager.stop(job_id)
    assert await starting == job_id
    assert manager.status(job_id).status.name == "Stopped"


async def test_t17_a_stop_while_the_start_is_prepared(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the job is on the disk yet for the stop to be noted in."""
    prepare, begun, may_go_on = LocalEngine._account, asyncio.Event(), asyncio.Event()

    async def slowly(engine: LocalEngine, owner: str, uid: int, grant: Grant) -> object:
        begun.set()
        await may_go_on.wait()
        return await prepare(engine, owner, uid, grant)

    monkeypatch.setattr(LocalEngine, "_account", slowly)
    starting = asyncio.ensure_future(start(manager, "sleep 300"))
    await begun.wait()
    (job,) = (await manager.list()).jobs
    stopping = asyncio.ensure_future(manager.stop(job.id))
    while not isinstance(manager.status(job.id).status, Stopping):  # noqa: ASYNC110 - the same
        await asyncio.sleep(0)
    may_go_on.set()
    await stopping
    assert await starting == job.id
    assert manager.status(job.id).status.name == "Stopped"


async def test_t18_the_end_of_the_program_is_the_end_of_the_job(manager: Manager) -> None:
    """A daemon that holds the output open neither delays the end nor outlives it."""
    before = everything_below()
    job_id = await start(manager, "(setsid sleep 300 &) ; echo done")
    begun = time.monotonic()
    job = await manager.wait(job_id, 20)
    assert time.monotonic() - begun < 2
    assert job.status.name == "Completed"
    assert (await manager.output(job_id)).stdout == b"done\n"
    await until(lambda: set(everything_below()) <= set(before))


async def test_t19_a_killed_supervisor_takes_the_job_with_it(
    manager: Manager, tmp_path: Path
) -> None:
    before = everything_below()
    job_id = await start_and_hear(manager, STUBBORN)
    os.kill(supervisor_of(tmp_path / "state", job_id), signal.SIGKILL)
    job = await manager.wait(job_id, 20)
    assert (job.status.name, job.reason) == ("Failed", "lost: its supervisor was killed")
    assert job.exit_code is None
    assert (await manager.output(job_id)).stdout == b"ready\n"
    await until(lambda: set(everything_below()) <= set(before))


async def test_a_killed_spawner_is_replaced_and_its_jobs_are_kept(
    manager: Manager, tmp_path: Path
) -> None:
    job_id = await start_and_hear(manager, "echo one; sleep 0.5; echo two; exit 4")
    stat = Path(f"/proc/{supervisor_of(tmp_path / 'state', job_id)}/stat").read_text()  # noqa: ASYNC240
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    try:
        other = await start(manager, "exit 5")
    except ServiceUnavailable:  # the order was on its way to the old one
        other = await start(manager, "exit 5")
    assert (await manager.wait(other, 20)).exit_code == 5
    job = await manager.wait(job_id, 20)
    assert job.exit_code == 4
    assert (await manager.output(job_id)).stdout == b"one\ntwo\n"


async def test_t21_t22_jobs_outlive_the_manager(tmp_path: Path, level: Level) -> None:
    """One ends while nobody is in charge, one goes on and can be stopped by the next."""
    async with opened(tmp_path, level) as manager:
        short = await start_and_hear(manager, "echo a; sleep 0.3; echo b; exit 3")
        long = await start_and_hear(manager, STUBBORN)
        pids = manager.status(short).pid, manager.status(long).pid
    spool = tmp_path / "state" / "spool"
    await until(lambda: b"end=exit" in (spool / short / "record").read_bytes())
    async with opened(tmp_path, level) as manager:
        job = await manager.wait(short, 20)
        assert (job.status.name, job.exit_code) == ("Failed", 3)
        assert (await manager.output(short)).stdout == b"a\nb\n"
        assert manager.status(long).pid == pids[1]
        await manager.stop(long)
        assert manager.status(long).status.name == "Stopped"
        await until(lambda: not spool_of(tmp_path))
    async with opened(tmp_path, level) as manager:
        assert manager.status(short).exit_code == 3
        assert (await manager.output(short)).stdout == b"a\nb\n"
        assert manager.status(long).reason == "stopped by alice"


async def test_an_adopted_job_is_followed_to_its_end(tmp_path: Path, level: Level) -> None:
    async with opened(tmp_path, level) as manager:
        job_id = await start_and_hear(manager, "echo a; sleep 0.5; echo b; exit 6")
    async with opened(tmp_path, level) as manager:
        assert b"".join([data async for data in manager.follow(job_id, Stream.STDOUT)]) == b"a\nb\n"
        assert (await manager.wait(job_id, 20)).exit_code == 6


async def test_a_stop_under_way_is_finished_by_the_next_manager(
    tmp_path: Path, level: Level
) -> None:
    async with opened(tmp_path, level) as manager:
        job_id = await start_and_hear(manager, STUBBORN)
        stopping = asyncio.ensure_future(manager.stop(job_id, by="bob", grace=1))
        record = tmp_path / "state" / "spool" / job_id / "record"
        await until(lambda: b"end=stop" in record.read_bytes())
        stopping.cancel()
    async with opened(tmp_path, level) as manager:
        job = await manager.wait(job_id, 20)
        assert job.reason == "stopped by bob"


async def test_t23_after_a_reboot_a_job_is_lost_and_no_stranger_is_touched(
    tmp_path: Path, level: Level
) -> None:
    """The record names a process of ours as the supervisor, of a boot long gone."""
    async with opened(tmp_path, level) as manager:
        job_id = await start_and_hear(manager, "echo x; sleep 300")
    supervisor = supervisor_of(tmp_path / "state", job_id)
    pidfd = os.pidfd_open(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    await asyncio.to_thread(_wait_for_exit, pidfd)
    os.close(pidfd)
    directory = records.open_directory(str(tmp_path / "state" / "spool" / job_id))
    fields = dict(records.read(directory)[records.STARTED])
    fields |= {
        "bootId": b"00000000-0000-4000-8000-000000000000",
        "supervisor": b"%d" % os.getpid(),
        "pid": b"%d" % os.getpid(),
    }
    records.append(directory, records.STARTED, list(fields.items()))
    os.close(directory)
    async with opened(tmp_path, level) as manager:
        job = await manager.wait(job_id, 20)
        assert (job.status.name, job.reason) == ("Failed", "lost: the machine restarted")
        with pytest.raises(JobNotRunning):
            await manager.stop(job_id)


def _wait_for_exit(pidfd: int) -> None:
    import select  # noqa: PLC0415

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000)


async def test_a_torn_exit_record_is_not_believed(tmp_path: Path, level: Level) -> None:
    async with opened(tmp_path, level) as manager:
        job_id = await start_and_hear(manager, "echo x; sleep 0.2")
    record = tmp_path / "state" / "spool" / job_id / "record"
    await until(lambda: b"end=exit" in record.read_bytes())
    record.write_bytes(record.read_bytes()[:-2])
    async with opened(tmp_path, level) as manager:
        job = await manager.wait(job_id, 20)
        assert job.status.name == "Failed"
        assert (job.reason or "").startswith("lost: ")


@pytest.mark.parametrize(
    ("program", "error", "words"),
    [
        ("/bin/none", ProgramNotFound, "program not found"),
        ("/none/none", ProgramNotFound, "program not found"),
        ("/etc/passwd/x", ProgramNotFound, "program not found"),
        ("/etc", ProgramNotExecutable, "it is a directory"),
        ("/etc/passwd", ProgramNotExecutable, "permission denied"),
    ],
)
async def test_a_refused_start_leaves_nothing(
    manager: Manager, tmp_path: Path, program: str, error: type[Exception], words: str
) -> None:
    before = everything_below()
    with pytest.raises(error, match=words):
        await manager.start(program, owner="alice")
    assert spool_of(tmp_path) == []
    assert (await manager.list()).jobs == ()
    assert "<LiveJobs: none>" in repr(manager)
    await until(lambda: set(everything_below()) <= set(before))


async def test_t49_what_cannot_be_executed_is_told_apart(
    manager: Manager, shared_dir: Path
) -> None:
    script = shared_dir / "script"
    for text, words in (
        ("#!/no/such/interpreter\n", "interpreter"),
        ("#!/bin/sh\r\necho hello\r\n", r"its first line ends with a carriage return \(\\r\)"),
        ("#!/no/such/interpreter -e\r\n", "interpreter that it names"),
        ("no first line", "neither a program for this machine nor a script"),
        ("", "neither a program for this machine nor a script"),
    ):
        script.write_text(text)
        script.chmod(0o755)
        with pytest.raises(ProgramNotExecutable, match=words):
            await manager.start(str(script), owner="alice")


LOADER = re.compile(rb"(?<=/)ld-[^\0]*|ld[0-9.]*so[^\0]*")
TRUE = Path("/bin/true").read_bytes()


async def test_t49_a_binary_without_its_loader_is_not_told_of_a_first_line(
    manager: Manager, shared_dir: Path
) -> None:
    """As a 32-bit program on a machine that has 64-bit libraries alone."""
    program = shared_dir / "program"
    renamed = LOADER.sub(lambda found: b"x" * len(found[0]), TRUE, count=1)
    assert renamed != TRUE
    program.write_bytes(renamed)
    program.chmod(0o755)
    with pytest.raises(ProgramNotExecutable, match="the loader that it names was not found"):
        await manager.start(str(program), owner="alice")


async def test_a_working_directory_that_cannot_be_entered(manager: Manager) -> None:
    with pytest.raises(InvalidRequest, match="/none") as refused:
        await start(manager, "pwd", cwd="/none")
    assert refused.value.field == "cwd"
    job_id = await start(manager, "pwd", cwd="/usr/lib")
    await manager.wait(job_id, 20)
    assert (await manager.output(job_id)).stdout == b"/usr/lib\n"


async def test_t48_arguments_at_the_limits(manager: Manager) -> None:
    longest = "x" * (128 * 1024 - 1)
    job_id = await manager.start("/bin/echo", ["-n", longest, "", "a\nb", "\udcff"], owner="alice")
    await manager.wait(job_id, 20)
    output = await manager.output(job_id)
    assert output.stdout == longest.encode() + b"  a\nb \xff"
    with pytest.raises(InvalidRequest, match="too long"):
        await manager.start("/bin/echo", [longest + "x"], owner="alice")
    with pytest.raises(InvalidRequest, match="too long"):
        await manager.start("/bin/echo", [longest] * 24, owner="alice")


@pytest.mark.root
@pytest.mark.parametrize("level", [name for name in LEVELS if name == "full"])
async def test_who_names_a_file_that_the_job_cannot_see_is_told(
    manager: Manager, tmp_path: Path
) -> None:
    """``tmp_path`` lies under the machine's /tmp."""
    data = tmp_path / "data.csv"
    data.write_text("x")
    job_id = await manager.start("/bin/cat", [str(data)], owner="alice")
    assert "have their own /tmp" in (manager.warning(manager.status(job_id)) or "")
    job = await manager.wait(job_id, 20)
    assert (job.reason or "").startswith("exited with code 1 (jobs have their own /tmp")
    with pytest.raises(ProgramNotFound) as missing:
        await manager.start(str(data), owner="alice")
    assert "have their own /tmp" in (missing.value.hint or "")
    with pytest.raises(ProgramNotExecutable, match="permission denied") as denied:
        await manager.start("/root/x", owner="alice")
    assert "may not enter /root" in (denied.value.hint or "")


async def test_unknown_jobs(manager: Manager) -> None:
    for job_id in ("j-00000000-0000-4000-8000-000000000000", "../x", "", "\0"):
        with pytest.raises(JobNotFound):
            manager.status(job_id)
        with pytest.raises(JobNotFound):
            await manager.stop(job_id)
        with pytest.raises(JobNotFound):
            await manager.output(job_id)


async def test_list_and_remove(manager: Manager) -> None:
    ended = await start(manager, "exit 0")
    await manager.wait(ended, 20)
    running = await start(manager, "sleep 300")
    assert [job.id for job in (await manager.list()).jobs] == [running, ended]
    by_status = await manager.list(JobQuery(status=StatusName.COMPLETED))
    assert [job.id for job in by_status.jobs] == [ended]
    with pytest.raises(JobRunning):
        await manager.remove(running)
    await manager.remove(ended)
    with pytest.raises(JobNotFound):
        manager.status(ended)
    await manager.stop(running)


async def test_t53_many_short_jobs_leave_nothing(manager: Manager, tmp_path: Path) -> None:
    before, descriptors = everything_below(), open_descriptors()

    async def one(number: int) -> Job:
        job_id = await manager.start("/bin/sh", ["-c", f"echo {number}"], owner="alice")
        job = await manager.wait(job_id, 60)
        assert (await manager.output(job_id)).stdout == b"%d\n" % number
        return job

    for first in range(0, 300, 20):
        jobs = await asyncio.gather(*(one(number) for number in range(first, first + 20)))
        assert {job.status.name for job in jobs} == {"Completed"}
    await until(lambda: not spool_of(tmp_path))
    await until(lambda: set(everything_below()) <= set(before))
    # A leak would show 300 times; the archive keeps a few connections to read with.
    assert open_descriptors() <= descriptors + 30
    assert "<LiveJobs: none>" in repr(manager)


@pytest.mark.parametrize("level", LEVELS[:1])
async def test_t56_one_manager_a_state_directory(manager: Manager, tmp_path: Path) -> None:
    assert manager
    with pytest.raises(StateInUse, match="has the lock of"):
        async with opened(tmp_path):
            raise AssertionError("two managers have the lock of one state directory")


@pytest.mark.parametrize("level", LEVELS[:1])
async def test_a_large_binary_output_is_kept_byte_for_byte(
    manager: Manager, shared_dir: Path
) -> None:
    data = shared_dir / "data"
    data.write_bytes(os.urandom(5_000_000) + b"\0\xff no newline at the end")
    data.chmod(0o644)
    job_id = await manager.start("/bin/cat", [str(data)], owner="alice")
    followed = b"".join([part async for part in manager.follow(job_id, Stream.STDOUT)])
    assert followed == data.read_bytes()
    await manager.wait(job_id)
    assert (await manager.output(job_id)).stdout == followed


async def test_a_record_that_cannot_be_read_harms_no_other_job(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner reads it, and goes on."""
    other = await start_and_hear(manager, "echo ready; sleep 300")
    with monkeypatch.context() as patched:
        torn = [("arg", b"/bin/true"), ("timeout", b"soon")]
        patched.setattr("jobworker.engines.local.engine.spec_fields", lambda *_: torn)
        with pytest.raises(StartFailed, match="setup"):
            await start(manager, "exit 0")
    assert not manager.status(other).ended
    assert (await manager.wait(await start(manager, "exit 4"), 20)).exit_code == 4
    await manager.stop(other)
