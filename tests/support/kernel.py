"""A real kernel of our own, for tests of what this machine's does not have: cgroup v2.

Debian's package ``user-mode-linux`` is a kernel built as a program. It boots on this
machine's root file system, mounted read-only, in about 2 s and as any user; inside
there is one cgroup v2 hierarchy with the memory, cpu and pids controllers, and root is
only its root. ``support.kernel_init`` is the first process.

    ended = run_in_kernel(["pytest", "tests/limits"], user=ALICE, budget=90)
    assert ended.exit_code == 0, ended
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAM = "linux.uml"
ROOT, ALICE = 0, 1000
"""Users to run as; root in the root cgroup, Alice in one that is delegated to her."""

_CHECKOUT = Path(__file__).resolve().parents[2]
_INIT = Path(__file__).with_name("kernel_init.py")
_MARK = "JOBWORKER_IN_KERNEL"
_TMP_MARK = "JOBWORKER_IN_KERNEL_TMP"
_MEMORY = "1G"
"""Its memory: a file on the host, of which only what is used takes space."""

_LAST_LINES = 30

TESTS_BUDGET = 480
"""Seconds for a run of tests. To boot takes 2 s and pytest to start another 3, on a
machine that is not busy; what runs inside takes some four times as long as outside, and
it was 70 to 150 s there at the last looks, where two ran at once."""


class FileSystem(NamedTuple):
    """A kind of file system, and the options it is mounted with."""

    kind: str
    options: str


@dataclass(frozen=True)
class Ended:
    """What became of a command; ``exit_code`` is None where it did not come to its end."""

    exit_code: int | None
    output: str
    kernel_log: str
    timed_out: bool = False

    def __str__(self) -> str:
        """The whole story, for the message of a failed test."""
        log = "\n".join(self.kernel_log.splitlines()[-_LAST_LINES:])
        how = f"exit code {self.exit_code}"
        if self.exit_code is None:
            how = "no exit code: " + (
                "out of time, it was killed" if self.timed_out else "the kernel ended before"
            )
        return f"{how}\n--- printed inside:\n{self.output}\n--- the kernel's last words:\n{log}\n"


def is_inside() -> bool:
    """Whether this very process runs in such a kernel."""
    return _MARK in os.environ


def scratch_prefix() -> str:
    """How the names of this process's own directories in /var/tmp begin."""
    return f"kernel-{os.getpid()}-"


def disk_on_tmp() -> str | None:
    """The kind of file system on the disk on /tmp, where this process runs in such a kernel."""
    return os.environ.get(_TMP_MARK)


def run_in_kernel(
    command: Sequence[str],
    *,
    user: int = ROOT,
    budget: int,
    environ: Mapping[str, str] | None = None,
    disk: Path | None = None,
    tmp: FileSystem | None = None,
) -> Ended:
    """Boot, run a command in this checkout as ``user``, and power off.

    After ``budget`` seconds all of it is killed. ``environ`` is added to a small
    environment; ``disk`` is a file that is /dev/ubda inside, and may be written to. With
    ``tmp`` that is the file system on it, and it is mounted on /tmp.
    """
    if is_inside():
        raise RuntimeError("this is such a kernel already")
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(), dir="/var/tmp") as name:
        scratch = Path(name)
        request = {
            "command": list(command),
            "user": user,
            "budget": budget,
            "environ": _environ(user) | dict(environ or {}),
            "checkout": str(_CHECKOUT),
            "tmp": tmp,
        }
        (scratch / "request.json").write_text(json.dumps(request))
        timed_out = _boot(scratch, budget, [] if disk is None else [f"ubd0={disk}"])
        status = (scratch / "status").read_text()
        return Ended(
            int(status) if status.endswith("\n") else None,
            (scratch / "output").read_bytes().decode(errors="replace"),
            (scratch / "log").read_bytes().decode(errors="replace"),
            timed_out,
        )


def run_tests_in_kernel(
    *words: str,
    user: int,
    budget: int = TESTS_BUDGET,
    disk: Path | None = None,
    tmp: FileSystem | None = None,
) -> None:
    """Run pytest with these arguments inside; fails unless there was a test and all passed.

    A test that is skipped, or expected to fail, has not passed.
    """
    # The checkout cannot be written to, so there is no cache.
    command = ["pytest", "-q", "-p", "no:cacheprovider", *words]
    environ = {"JOBWORKER_REQUIRE_ALL": "1"}
    if tmp:
        environ[_TMP_MARK] = tmp.kind
    ended = run_in_kernel(command, user=user, budget=budget, environ=environ, disk=disk, tmp=tmp)
    if ended.exit_code != 0 or not all_passed(ended.output):
        pytest.fail(f"in a kernel of its own, as user {user}: {ended}", pytrace=False)


def all_passed(output: str) -> bool:
    """Whether the last line of ``pytest -q`` tells of passed tests and of nothing else."""
    return bool(re.fullmatch(r"\d+ passed in .*", output.rstrip().rpartition("\n")[2]))


def _environ(user: int) -> dict[str, str]:
    beside_python = str(Path(sys.executable).parent)
    return {
        "PATH": f"{beside_python}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp/home",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
        _MARK: "root" if user == ROOT else "user",
    }


def _boot(scratch: Path, budget: int, options: list[str]) -> bool:
    """Boot with the terminals tied to files; whether it had to be killed."""
    init = scratch / "init"
    words = [sys.executable, "-I", "-S", str(_INIT), str(scratch)]
    init.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
    init.chmod(0o755)
    with (
        (scratch / "log").open("wb") as log,
        (scratch / "output").open("wb") as output,
        (scratch / "status").open("wb") as status,
    ):
        # Files and not pipes, so that all that was said is there whatever the end is.
        kernel = subprocess.Popen(
            [
                PROGRAM,
                *("rootfstype=hostfs", "rootflags=/", "ro", f"mem={_MEMORY}", f"init={init}"),
                *(f"uml_dir={scratch}", "umid=kernel", "con=null", "con0=null,fd:1"),
                *(f"con1=null,fd:{output.fileno()}", f"con2=null,fd:{status.fileno()}"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(output.fileno(), status.fileno()),
            env=os.environ | {"TMPDIR": str(scratch)},
            start_new_session=True,
        )
        try:
            return not _ends_within(kernel.pid, budget)
        finally:
            # Each process inside is one outside, and there are helpers: they end together.
            # The first of them is not yet reaped, so that the number is surely theirs.
            os.killpg(kernel.pid, signal.SIGKILL)
            kernel.wait()


def _ends_within(pid: int, seconds: int) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)
