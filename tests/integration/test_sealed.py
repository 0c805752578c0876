"""What is closed to a job's programs by the system call filter, Landlock and no network."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host import landlock
from jobworker.engines.host.probe import probe
from jobworker.model import Level, Limits, Spec, Stream
from support import system_calls

SEALED: tuple[Level, ...] = ("full", "namespaces", "uid")
NEWUSER = 0x1000_0000
MACHINE = os.uname().machine
COLUMN = {"x86_64": 0, "aarch64": 2}[MACHINE]
HAS_SCOPES = landlock.version() >= landlock.SCOPES

Reach = Callable[..., Awaitable[list[int]]]

pytestmark = pytest.mark.needs("gcc", "strace")


def working(*levels: Level) -> list[Level]:
    return [result.level for result in probe() if result.works and result.level in levels]


WORKING = working(*SEALED)
AT_UID = [level for level in WORKING if level == "uid"]


@pytest.fixture(params=WORKING)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
async def manager(tmp_path: Path, level: Level) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path / "state", containment=level) as manager:
        yield manager


@pytest.fixture
def reach(manager: Manager, reach_program: str) -> Reach:
    """What a job gets for each thing that it tries: an errno, or 0."""

    async def run(*what: str) -> list[int]:
        text = await shell(manager, " ".join([reach_program, *what]))
        return [int(line) for line in text.split()]

    return run


async def shell(manager: Manager, script: str) -> str:
    """What a script says on both streams, standard output first."""
    job_id = await manager.start("/bin/sh", ["-c", script], owner="alice")
    await manager.wait(job_id, 20)
    output = await manager.output(job_id)
    return (output.stdout + output.stderr).decode()


async def sleeper(manager: Manager) -> tuple[str, int]:
    """A job that waits, and its PID."""
    job_id = await manager.start("/bin/sh", ["-c", "echo on; exec sleep 60"], owner="alice")
    async for _ in manager.follow(job_id, Stream.STDOUT):
        break
    pid = manager.status(job_id).pid
    assert pid is not None
    return job_id, pid


def numbers(column: int) -> list[int]:
    found = [numbers[column] for numbers in system_calls.DENIED.values()]
    return [number for number in found if number is not None]


async def test_the_filter_is_in_force(manager: Manager) -> None:
    text = await shell(manager, "grep -E '^(Seccomp|NoNewPrivs)' /proc/self/status")
    assert "Seccomp:\t2" in text
    assert "NoNewPrivs:\t1" in text


async def test_it_is_in_force_for_a_job_under_limits(manager: Manager) -> None:
    """Its program is executed another way, by a process that seals itself."""
    spec = Spec("/bin/cat", ("/proc/self/status",), limits=Limits(open_files=64))
    job = await manager.submit(spec, "alice")
    await manager.wait(job.id, 20)
    text = (await manager.output(job.id)).stdout.decode()
    assert "Seccomp:\t2" in text
    assert "NoNewPrivs:\t1" in text


async def test_system_calls_are_not_permitted(reach: Reach) -> None:
    """EPERM before an argument is looked at: -1 would get EBADF, EFAULT or EINVAL."""
    calls = [f"64:{number}:-1" for number in numbers(COLUMN)]
    assert await reach(*calls) == [errno.EPERM] * len(calls)


@pytest.mark.skipif(MACHINE != "x86_64", reason="calls of 32 bits kill on other machines")
async def test_system_calls_of_32_bits_are_not_permitted(reach: Reach) -> None:
    if await reach("32:20:0") != [0]:  # getpid
        pytest.skip("this kernel does not know them, as User Mode Linux")
    calls = [f"32:{number}:-1" for number in numbers(1)]
    calls += [f"32:{column[1]}:{NEWUSER}" for column in system_calls.WITHOUT_NEWUSER.values()]
    assert await reach(*calls) == [errno.EPERM] * len(calls)
    assert await reach(f"32:{system_calls.CLONE3[1]}:0") == [errno.ENOSYS]


@pytest.mark.skipif(MACHINE != "x86_64", reason="there is no such convention on others")
async def test_calls_by_the_x32_convention_do_not_exist(reach: Reach) -> None:
    calls = [f"64:{0x4000_0000 | number}:0" for number in (39, 165, 272)]
    assert await reach(*calls) == [errno.ENOSYS] * 3


async def test_a_job_makes_no_user_namespace(manager: Manager, reach: Reach) -> None:
    calls = [f"64:{column[COLUMN]}:{NEWUSER}" for column in system_calls.WITHOUT_NEWUSER.values()]
    clone3 = f"64:{system_calls.CLONE3[COLUMN]}:0"
    unshare = f"64:{system_calls.WITHOUT_NEWUSER['unshare'][COLUMN]}:0"
    assert await reach(*calls, clone3, unshare) == [errno.EPERM, errno.EPERM, errno.ENOSYS, 0]
    assert "not permitted" in await shell(manager, "unshare -Ur true || exit 0")


SET_ATTRIBUTES = """
import fcntl, os, sys
directory = os.open(".", os.O_RDONLY)
for request in map(int, sys.argv[1:]):
    try:
        fcntl.ioctl(directory, request, bytes(28))
    except OSError as error:
        print(error.errno)
"""


async def test_a_file_cannot_be_taken_out_of_its_project(manager: Manager) -> None:
    """Its owner may, by the kernel's rules, and so could leave the limit of ``tmp``."""
    requests = [str(request) for request in system_calls.ATTRIBUTES]
    job_id = await manager.start(
        "/usr/bin/python3", ["-c", SET_ATTRIBUTES, *requests], owner="alice"
    )
    await manager.wait(job_id, 20)
    printed = (await manager.output(job_id)).stdout.decode()
    assert printed.split() == [str(errno.EPERM)] * len(requests)


async def test_programs_fork_thread_and_move_files_as_ever(manager: Manager) -> None:
    text = await shell(
        manager,
        'set -e; cd "$TMPDIR"; mkdir a b; echo kept > a/f; mv a/f b/g; ln b/g a/h; mv b a/b;'
        "cat a/b/g; (cat a/h | cat) & wait; sleep 5 & kill $!; wait $! || :; echo ok",
    )
    assert text.split() == ["kept", "kept", "ok", "Terminated"]


async def test_a_job_can_trace_its_own(manager: Manager) -> None:
    """strace runs a child, and attaches to a process that is not its child."""
    text = await shell(
        manager,
        'strace -e trace=execve /bin/true; cd "$TMPDIR";'
        "sleep 60 & p=$!; strace -o trace -p $p &"
        "until grep -q '^TracerPid:.*[1-9]' /proc/$p/status; do sleep 0.02; done;"
        "kill $p; wait; grep -c SIGTERM trace",
    )
    assert text.split()[0] > "0"
    assert "execve(" in text


@pytest.mark.parametrize("level", AT_UID)
@pytest.mark.skipif(not HAS_SCOPES, reason="takes Landlock scopes (Linux 6.12)")
async def test_t5_jobs_of_one_owner_cannot_reach_each_other(manager: Manager) -> None:
    other, pid = await sleeper(manager)
    text = await shell(
        manager,
        f"id -u; stat -c %u /proc/{pid}; timeout 10 strace -p {pid}; cat /proc/{pid}/environ;"
        f"readlink -v /proc/{pid}/exe /proc/{pid}/fd/1; head -c1 /proc/{pid}/mem; kill -9 {pid};"
        f"kill -0 {pid}; kill -9 -1; echo alive",
    )
    own, others, *rest = filter(None, text.splitlines())
    assert own == others
    assert rest[0] == "alive"
    assert len(rest) == 8
    assert all("Permission denied" in line or "not permitted" in line for line in rest[1:])
    assert manager.status(other).status.name == "Running"
    await manager.stop(other)


@pytest.mark.skipif(not HAS_SCOPES, reason="takes Landlock scopes (Linux 6.12)")
async def test_abstract_sockets_of_the_machine_are_out_of_reach(
    reach: Reach, abstract_listener: str
) -> None:
    assert await reach(f"abstract:{abstract_listener}") == [errno.EPERM]
    assert await reach("abstract:jobworker-nobody") == [errno.ECONNREFUSED]
