"""A real kernel of our own, for tests of what this machine's does not have: cgroup v2.

It boots on this machine's root file system, mounted read-only, in seconds and as any user,
by the first way that works here (``support.kernel_boot``). Inside there is one cgroup v2
hierarchy with the memory, cpu and pids controllers, and root is only its root.
``support.kernel_init`` is the first process.

    ended = run_in_kernel(["pytest", "tests/limits"], user=ALICE, budget=90)
    assert ended.exit_code == 0, ended

``@pytest.mark.kernel`` says that a test takes it: where there is none, it is skipped.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from support.kernel_boot import FORCED, WAYS, Boot, Way, boot

ROOT, ALICE = 0, 1000
"""Users to run as; root in the root cgroup, Alice in one that is delegated to her."""

_CHECKOUT = Path(__file__).resolve().parents[2]
_INIT = Path(__file__).with_name("kernel_init.py")
_MARK = "JOBWORKER_IN_KERNEL"
_TMP_MARK = "JOBWORKER_IN_KERNEL_TMP"
_LAST_LINES = 30

TESTS_BUDGET = 480
"""Seconds for a run of tests in user mode. To boot takes 2 s and pytest to start another 3,
on a machine that is not busy; what runs inside takes some four times as long as outside,
and it was 70 to 150 s there at the last looks, where two ran at once."""


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


@dataclass(frozen=True)
class Choice:
    """The way to boot here, if any, and what there is to say of it in the run's header."""

    way: Way | None
    told: str


def is_inside() -> bool:
    """Whether this very process runs in such a kernel."""
    return _MARK in os.environ


def scratch_prefix() -> str:
    """How the names of this process's own directories in /var/tmp begin."""
    return f"kernel-{os.getpid()}-"


def disk_on_tmp() -> str | None:
    """The kind of file system on the disk on /tmp, where this process runs in such a kernel."""
    return os.environ.get(_TMP_MARK)


@functools.cache
def choice() -> Choice:
    """The first way that boots here, or the one that the environment names if that does."""
    forced = os.environ.get(FORCED)
    if not forced:
        return choose(WAYS.values())
    if forced not in WAYS:
        raise pytest.UsageError(f"{FORCED} is {forced!r}: it must be one of {', '.join(WAYS)}")
    return choose([WAYS[forced]])


def choose(ways: Iterable[Way]) -> Choice:
    """The first of these ways by which a kernel boots and powers off, by trying."""
    failures = ""
    for way in ways:
        began = time.monotonic()
        if why := _why_not(way):
            failures += f"; not {way.name}: {why}"
        else:
            took = time.monotonic() - began
            return Choice(way, f"{way.name}, up and off in {took:.1f} s{failures}")
    return Choice(None, f"none{failures}")


def _why_not(way: Way) -> str | None:
    """Why a kernel does not boot this way; None where it does."""
    if missing := way.missing():
        return f"there is no {missing}"
    ended = run_in_kernel(["true"], budget=way.patience, way=way)
    if ended.exit_code == 0:
        return None
    if ended.timed_out:
        return f"it was not up within {way.patience} s"
    lines = [line for line in ended.kernel_log.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in lines if "panic" in line), lines[-1])


def run_in_kernel(
    command: Sequence[str],
    *,
    way: Way | None = None,
    user: int = ROOT,
    budget: int,
    environ: Mapping[str, str] | None = None,
    disk: Path | None = None,
    tmp: FileSystem | None = None,
) -> Ended:
    """Boot, run a command in this checkout as ``user``, and power off.

    After ``budget`` seconds, or as many times that as the way to boot is slower than user
    mode, all of it is killed. ``environ`` is added to a small environment; ``disk`` is a
    file that is a disk inside, and may be written to. With ``tmp`` that is the file system
    on it, and it is mounted on /tmp. ``way`` is by default the one that works here.
    """
    if is_inside():
        raise RuntimeError("this is such a kernel already")
    way = way or choice().way
    if way is None:
        raise RuntimeError(f"there is no kernel of our own: {choice().told}")
    seconds = budget * way.slowness
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(), dir="/var/tmp") as name:
        scratch = Path(name)
        request = {
            "command": list(command),
            "user": user,
            "budget": seconds,
            "environ": _environ(user) | dict(environ or {}),
            "checkout": str(_CHECKOUT),
            "tmp": tmp,
            "terminals": way.terminals,
            "disk": way.disk,
            "modules": way.modules,
        }
        (scratch / "request.json").write_text(json.dumps(request))
        timed_out = not _boot(way, scratch, disk, seconds)
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
    way: Way | None = None,
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
    ended = run_in_kernel(
        command, way=way, user=user, budget=budget, environ=environ, disk=disk, tmp=tmp
    )
    if ended.exit_code != 0 or not all_passed(ended.output):
        pytest.fail(f"in a kernel of its own, as user {user}: {ended}", pytrace=False)


def all_passed(output: str) -> bool:
    """Whether the last line of ``pytest -q`` tells of passed tests and of nothing else."""
    return bool(re.fullmatch(r"\d+ passed in .*", output.rstrip().rpartition("\n")[2]))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", "kernel: takes a kernel of its own")


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> str | None:
    """Say in the run's header by which way kernels are booted, where a test takes one."""
    if is_inside() or config.option.collectonly:
        return None
    wanted = any(item.get_closest_marker("kernel") for item in items)
    return f"kernel of our own: {choice().told}" if wanted else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what takes a kernel where none boots."""
    if item.get_closest_marker("kernel") and not is_inside() and not choice().way:
        pytest.skip(f"takes a kernel of its own: {choice().told}")


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


def _boot(way: Way, scratch: Path, disk: Path | None, seconds: int) -> bool:
    """Boot with the terminals tied to files; whether it came to its end by itself."""
    init = scratch / "init"
    words = [sys.executable, "-I", "-S", str(_INIT), str(scratch)]
    init.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
    init.chmod(0o755)
    with (scratch / "output").open("wb") as output, (scratch / "status").open("wb") as status:
        start = Boot(scratch, init, output.fileno(), status.fileno(), disk)
        return boot(way, start, scratch / "log", seconds)
