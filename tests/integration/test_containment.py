"""What a job can see and do, at each level that works here (T1-T9, T54 for the job's side)."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.probe import probe
from jobworker.model import Job, Level, Output, Stream

WALLED: tuple[Level, ...] = ("full", "namespaces")
"""The levels that promise a boundary (README, promises 6 and 7)."""

Shell = Callable[[str], Awaitable[tuple[Job, Output]]]


def working(*levels: Level) -> list[Level]:
    return [result.level for result in probe() if result.works and result.level in levels]


@pytest.fixture(params=working("full", "namespaces", "uid", "basic"))
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
async def manager(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=level) as manager:
        yield manager


@pytest.fixture
def shell(manager: Manager) -> Shell:
    async def run(script: str) -> tuple[Job, Output]:
        job_id = await manager.start("/bin/sh", ["-c", script], owner="alice")
        return await manager.wait(job_id, 20), await manager.output(job_id)

    return run


def mode_of(path: Path) -> int:
    return path.stat().st_mode


async def run_until_output(manager: Manager, script: str, owner: str = "alice") -> tuple[str, str]:
    """Start a script and wait for its first output; it goes on."""
    job_id = await manager.start("/bin/sh", ["-c", script], owner=owner)
    async for data in manager.follow(job_id, Stream.STDOUT):
        return job_id, data.decode()
    raise AssertionError("the job ended without a word")


@pytest.mark.parametrize("level", working(*WALLED))
async def test_t1_a_job_sees_nothing_of_the_state(shell: Shell, tmp_path: Path) -> None:
    state = tmp_path / "state"
    database = Path(state / "jobd.db")
    mode = mode_of(database)
    job, output = await shell(
        f"cat {state}/jobd.db; chmod 777 {state}/jobd.db; ls {state}/spool; echo x > {state}/x"
    )
    assert job.exit_code != 0
    assert output.stdout == b""
    assert output.stderr.count(b"\n") == 4
    assert mode_of(database) == mode


@pytest.mark.parametrize("level", working(*WALLED))
async def test_t2_kill_everything_kills_only_the_job(manager: Manager, shell: Shell) -> None:
    other, _ = await run_until_output(manager, "echo on; exec sleep 60")
    for script in ("kill -9 1; kill -INT 1; kill -TERM 1; echo alive", "kill -9 -1; echo alive"):
        _, output = await shell(script)
        assert b"alive" in output.stdout
    assert manager.status(other).status.name == "Running"
    await manager.stop(other)


@pytest.mark.parametrize("level", working(*WALLED))
async def test_t3_t4_the_server_is_out_of_reach(shell: Shell) -> None:
    """No process outside the job has a PID inside it, so there is nothing to name."""
    me = os.getpid()
    _, output = await shell(
        f"for f in environ mem fd cmdline; do cat /proc/{me}/$f; ls /proc/{me}/$f; done;"
        f"renice 19 {me}; prlimit --pid {me} --cpu=1; taskset -p 1 {me}; kill -0 {me};"
        "cat /proc/1/environ; readlink /proc/1/fd/*; cat /proc/1/mem"
    )
    assert output.stdout == b""


@pytest.mark.parametrize("level", working(*WALLED))
async def test_t5_t6_jobs_do_not_see_each_other(manager: Manager, shell: Shell) -> None:
    other, _ = await run_until_output(manager, "echo on; exec sleep 60 # canary-argument")
    pid = manager.status(other).pid
    assert pid is not None
    _, output = await shell(f"cat /proc/[0-9]*/cmdline; ls -d /proc/[0-9]*; kill -9 {pid}")
    assert b"sleep" not in output.stdout
    pids = {int(number) for number in re.findall(rb"/proc/(\d+)\n", output.stdout)}
    assert 1 in pids
    assert max(pids) < 20
    assert manager.status(other).pid == pid
    await manager.stop(other)


@pytest.mark.parametrize("level", working(*WALLED))
async def test_t7_each_job_has_its_own_tmp(manager: Manager, shell: Shell) -> None:
    script = "umask; echo {0} > /tmp/x; ls /tmp /dev/shm; cat /tmp/x; echo; exec sleep 60"
    first, _ = await run_until_output(manager, script.format("first"))
    job, output = await shell(
        "pwd; ls -A /tmp /dev/shm; echo mine > /tmp/x; cat /tmp/x; stat -c %a /tmp/x;"
        "echo s > /dev/shm/s; cat /dev/shm/s"
    )
    assert job.exit_code == 0
    assert output.stdout.split() == [
        b"/tmp", b"/dev/shm:", b"/tmp:", b"mine", b"600", b"s",
    ]  # fmt: skip
    await manager.stop(first)


@pytest.mark.root
@pytest.mark.parametrize("level", working("full", "uid"))
async def test_t8_a_setuid_program_gains_nothing(shell: Shell, shared_dir: Path) -> None:
    program = shutil.copy("/usr/bin/id", shared_dir)
    os.chmod(program, 0o4755)  # noqa: PTH101 - no Path in a coroutine
    _, output = await shell(
        f"{program}; grep -E '^(NoNewPrivs|Cap(Eff|Prm|Bnd))' /proc/self/status"
    )
    assert b"uid=0" not in output.stdout
    assert b"euid=" not in output.stdout
    assert b"NoNewPrivs:\t1" in output.stdout
    assert b"CapEff:\t0000000000000000" in output.stdout


@pytest.mark.parametrize("level", working(*WALLED))
async def test_no_capability_is_left_and_none_can_be_had(shell: Shell) -> None:
    _, output = await shell("grep -E '^(NoNewPrivs|Cap)' /proc/self/status")
    values = dict(line.split(b":\t") for line in output.stdout.splitlines())
    assert values.pop(b"NoNewPrivs") == b"1"
    assert set(values.values()) == {b"0" * 16}
    assert len(values) == 5


async def test_t9_only_standard_descriptors_reach_a_job(shell: Shell) -> None:
    _, output = await shell("exec ls /proc/self/fd")
    assert output.stdout.split() == [b"0", b"1", b"2", b"3"]  # 3 is ls reading the directory


async def test_a_job_starts_with_default_signals_and_its_own_environment(shell: Shell) -> None:
    _, output = await shell("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; env; umask")
    lines = output.stdout.splitlines()
    ignored = int(dict(line.split(b":\t") for line in lines[:3])[b"SigIgn"], 16)
    # posix_spawn(3) of glibc leaves its two internal signals (32, 33) ignored.
    assert ignored & ~(3 << 31) == 0
    assert int(lines[0].split()[1], 16) == 0
    names = {line.split(b"=")[0] for line in lines[3:-1]}
    assert names == {
        b"PATH", b"LANG", b"HOME", b"TMPDIR", b"USER", b"LOGNAME", b"SHELL", b"JOBD_JOB_ID", b"PWD",
    }  # fmt: skip
    assert lines[-1] == b"0077"


async def test_limits_are_those_of_a_service(shell: Shell) -> None:
    _, output = await shell("ulimit -n; ulimit -c; ulimit -H -c")
    open_files, *core = map(int, output.stdout.split())
    assert open_files <= 1024
    assert core == [0, 0]


@pytest.mark.root
@pytest.mark.parametrize("level", working("full", "uid"))
async def test_each_owner_has_a_user_of_its_own(manager: Manager) -> None:
    uids = []
    for owner in ("alice", "bob", "alice"):
        job_id = await manager.start("/usr/bin/id", ["-u"], owner=owner)
        await manager.wait(job_id)
        uids.append(int((await manager.output(job_id)).stdout))
    assert uids[0] == uids[2] != uids[1]
    assert 0 not in uids


async def test_the_level_stands_on_the_job(shell: Shell, level: Level) -> None:
    job, _ = await shell("true")
    assert job.containment == level


async def test_concurrent_starts_are_all_contained(manager: Manager, level: Level) -> None:
    """Nothing of one start may end up in another: each job prints its own ID."""
    script = ["-c", "echo $JOBD_JOB_ID"]
    ids = await asyncio.gather(
        *(manager.start("/bin/sh", script, owner=f"user{n % 3}") for n in range(40))
    )
    for job_id in ids:
        job = await manager.wait(job_id, 20)
        assert job.containment == level
        assert (await manager.output(job_id)).stdout.decode().strip() == job_id
