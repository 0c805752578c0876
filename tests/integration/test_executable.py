"""What was checked is what runs (T13), also where it is a script (T15), and as whom."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.engines.host.probe import probe
from jobworker.engines.host.uids import uid_of
from jobworker.engines.local.spec_record import spec_fields
from jobworker.engines.spawner import SpawnerProcess, open_log
from jobworker.model import Grant, Job, JobId, Level, Spec, Starting, Stream, Terms
from jobworker.policy.accounts import resolve
from jobworker.policy.files import Files
from jobworker.spool.spool import Spool
from support import native
from support.trusted import script

pytestmark = pytest.mark.root

BUDGET = 30.0
"""Seconds for one job that does next to nothing, on a machine that may be busy."""

LEVELS: list[Level] = [result.level for result in probe() if result.works]
OWN_UID: list[Level] = [level for level in LEVELS if level in ("full", "uid")]

Events = dict[bytes, dict[str, bytes]]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


def run(
    state: Path, level: Level, spec: Spec, grant: Grant, before: Callable[[], None] = lambda: None
) -> tuple[Events, bytes, bytes]:
    """Run a job through a spawner: what was told of it, and its output.

    ``before`` happens after the server has written the order down.
    """
    job = Job(
        JobId.new(), "alice", spec, Terms.of(grant), Starting(), datetime.now(UTC), level, "here"
    )
    own = uid_of(0, level)
    with closing(Spool(state)) as spool:
        spool.create(job.id, spec_fields(job, level, grant))
        before()
        log = open_log(state)
        spawner = SpawnerProcess(level, state, [state], log)
        os.close(log)
        try:
            spawner.channel.settimeout(BUDGET)
            spawner.order(job.id, grant.run_as.uid if grant.run_as else own)
            events: Events = {}
            while b"gone" not in events:
                event = dict(spawner.receive() or ())
                events[event.pop("event")] = event
            with closing(spool.output(job.id)) as output:
                streams = [
                    output.read(one, 0, 65536).data for one in (Stream.STDOUT, Stream.STDERR)
                ]
        finally:
            spawner.close()
            spawner.wait()
            spool.remove(job.id)
    return events, streams[0], streams[1]


def checked(program: Path | str) -> Grant:
    return Grant(executable=Files().check(str(program)))


def test_a_binary_that_was_checked_runs(tmp_path: Path, level: Level) -> None:
    spec = Spec("/bin/cat", ("/proc/self/cmdline",))
    events, stdout, _ = run(tmp_path, level, spec, checked("/usr/bin/cat"))
    assert events[b"ended"]["exitCode"] == b"0"
    assert stdout == b"/usr/bin/cat\0/proc/self/cmdline\0"


def test_a_binary_has_no_descriptor_more(tmp_path: Path, level: Level) -> None:
    """T9: 0, 1, 2, and the one that ls itself opens."""
    _, stdout, _ = run(tmp_path, level, Spec("/x", ("/proc/self/fd",)), checked("/usr/bin/ls"))
    assert stdout.split() == [b"0", b"1", b"2", b"3"]


def test_a_script_that_was_checked_runs(tmp_path: Path, trusted_dir: Path, level: Level) -> None:
    """T15: its interpreter reads it by the descriptor, whose path is what $0 says."""
    program = script(trusted_dir / "report", 'echo "$0" "$@"; ls /proc/self/fd')
    events, stdout, stderr = run(tmp_path, level, Spec("/x", ("a b",)), checked(program))
    assert (events[b"ended"]["exitCode"], stderr) == (b"0", b"")
    first, *descriptors = stdout.splitlines()
    assert first == b"/proc/self/fd/3 a b"
    assert set(descriptors) <= {b"0", b"1", b"2", b"3", b"4", b"10"}


def test_a_binary_that_may_not_be_read_runs(
    tmp_path: Path, trusted_dir: Path, level: Level
) -> None:
    program = Path(shutil.copy("/usr/bin/echo", trusted_dir / "echo"))
    program.chmod(0o711)
    _, stdout, _ = run(tmp_path, level, Spec("/x", ("hello",)), checked(program))
    assert stdout == b"hello\n"


def test_a_script_whose_interpreter_is_missing(
    tmp_path: Path, trusted_dir: Path, level: Level
) -> None:
    program = trusted_dir / "broken"
    program.write_text("#!/none\n")
    program.chmod(0o755)
    events, _, _ = run(tmp_path, level, Spec("/x"), checked(program))
    assert events[b"refused"]["kind"] == b"interpreter"


def renamed_over(program: Path) -> None:
    script(program.with_name("evil"), "echo unchecked").rename(program)


def written_to(program: Path) -> None:
    program.write_text("#!/bin/sh\necho unchecked\n")


def turned_into_a_link(program: Path) -> None:
    evil = script(program.with_name("evil"), "echo unchecked")
    program.unlink()
    program.symlink_to(evil)


def in_a_directory_that_was_swapped(program: Path) -> None:
    other = program.parents[1] / "other"
    other.mkdir()
    script(other / program.name, "echo unchecked")
    program.parent.rename(program.parents[1] / "old")
    program.parent.symlink_to(other)


@pytest.mark.parametrize(
    "swap", [renamed_over, written_to, turned_into_a_link, in_a_directory_that_was_swapped]
)
def test_what_was_swapped_after_the_check_never_runs(
    tmp_path: Path, trusted_dir: Path, level: Level, swap: Callable[[Path], None]
) -> None:
    """T13."""
    (trusted_dir / "bin").mkdir(mode=0o755)
    program = script(trusted_dir / "bin" / "report", "echo checked")
    events, stdout, _ = run(
        tmp_path, level, Spec("/x"), checked(program), before=lambda: swap(program)
    )
    assert events[b"refused"]["stage"] == b"changed"
    assert b"started" not in events
    assert stdout == b""


def test_what_was_removed_after_the_check_is_missing(
    tmp_path: Path, trusted_dir: Path, level: Level
) -> None:
    program = script(trusted_dir / "report", "echo")
    events, _, _ = run(tmp_path, level, Spec("/x"), checked(program), before=program.unlink)
    assert (events[b"refused"]["stage"], events[b"refused"]["kind"]) == (b"exec", b"missing")


@native.needs_compiler
@pytest.mark.parametrize("binary", [True, False])
def test_what_is_swapped_between_the_look_and_the_exec_runs_as_it_was_looked_at(
    trusted_dir: Path, *, binary: bool
) -> None:
    """T13, in the last window: whatever has the name by now, the descriptor is executed."""
    program = trusted_dir / "report"
    if binary:
        shutil.copy("/usr/bin/true", program)
    else:
        script(program, "exit 0")
    file = Files().check(str(program))
    identity = b"%d:%d:%d:%d:%d" % (
        file.dev, file.ino, file.size, file.mtime_ns, file.ctime_ns
    )  # fmt: skip
    evil = script(trusted_dir / "evil", "exit 66")
    assert outcome_of(program, identity, lambda: evil.rename(program)) == 0


class _Executable(ctypes.Structure):
    """A ``struct executable`` of executable.h."""

    _fields_ = (("path", ctypes.c_char_p), ("file", ctypes.c_int), ("name", ctypes.c_char * 32))


def outcome_of(program: Path, identity: bytes, between: Callable[[], object]) -> int:
    """The exit code of a program that is looked at, and executed after something was done."""
    library = native.library()
    pid = os.fork()
    if pid == 0:
        try:
            found, failure = _Executable(), ctypes.create_string_buffer(1024)
            name = os.fsencode(program)
            if library.executable_open(ctypes.byref(found), name, identity, failure) == 0:
                between()
                os.execve(found.path, ["x"], {})
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("level", OWN_UID)
def test_a_job_runs_as_the_account_that_was_granted(tmp_path: Path, level: Level) -> None:
    account = replace(resolve("www-data", server=0), gid=33, groups=(33, 4242))
    text = 'id -u; id -g; id -G; echo "$USER $LOGNAME"; touch x; stat -c %u:%g . x'
    events, stdout, stderr = run(
        tmp_path, level, Spec("/bin/sh", ("-c", text)), Grant(run_as=account)
    )
    assert (events[b"ended"]["exitCode"], stderr) == (b"0", b"")
    assert stdout.decode().splitlines() == [
        "33", "33", "33 4242", "www-data www-data", "33:33", "33:33"
    ]  # fmt: skip


@pytest.mark.parametrize("level", OWN_UID)
def test_a_job_of_its_owners_account_has_no_groups(tmp_path: Path, level: Level) -> None:
    own = str(uid_of(0, level))
    _, stdout, _ = run(tmp_path, level, Spec("/bin/sh", ("-c", "id -u; id -G")), Grant())
    assert stdout.decode().split() == [own, own]
