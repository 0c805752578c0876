"""Fails a test that leaves a process, a descriptor, a mount or a cgroup behind.

Only what this run has made counts: beside it there may be other servers, containers and
runs of these tests.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.engines.host.mountinfo import mounts
from support import own_cgroup
from support.adoption import everything_below
from support.directories import made_by_this_run
from support.workers import is_controller

_BUDGET = float(os.environ.get("JOBWORKER_LEAK_BUDGET", "5"))
"""Seconds for what is just ending: a job's tree is gone within 1 s of its stop (T16),
and the machine may be busy. The tests of this file set it lower."""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Enter a cgroup of our own: after ``support.adoption`` has forked."""
    if not is_controller(config):
        own_cgroup.enter()


def pytest_unconfigure() -> None:
    own_cgroup.leave()


@pytest.fixture(autouse=True)
def no_leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compare what there is before and after each test.

    It is the first fixture of a test's own scope and so the last to be torn down.
    What a fixture of a wider scope holds was there before.
    """
    ours = tmp_path_factory.getbasetemp().resolve()
    processes, descriptors, mounted = everything_below(), _descriptors(), _mounts(ours)
    cgroups = own_cgroup.of_servers()
    yield
    leaks = [f"process {pid}: {text}" for pid, text in _left_running(processes).items()]
    leaks += [f"descriptor {text}" for text in _left_open(descriptors)]
    leaks += [f"mount {line}" for line in sorted(_mounts(ours) - mounted)]
    leaks += [f"cgroup {path}" for path in sorted(own_cgroup.of_servers() - cgroups)]
    if leaks:
        pytest.fail("the test left behind:\n  " + "\n  ".join(leaks), pytrace=False)


def _left_running(before: dict[int, str]) -> dict[int, str]:
    """What still runs when the budget is used up; killed, to spare the next test."""
    deadline = time.monotonic() + _BUDGET
    while left := _since(before):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return _kill_all(before)
        _wait_for_end_of(next(iter(left)), remaining)
    return {}


def _since(before: dict[int, str]) -> dict[int, str]:
    return {pid: text for pid, text in everything_below().items() if pid not in before}


def _wait_for_end_of(pid: int, seconds: float) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(descriptor)


def _kill_all(before: dict[int, str]) -> dict[int, str]:
    """Kill what was left, and what that has started meanwhile; return all of it."""
    killed: dict[int, str] = {}
    while left := _since(before):
        killed |= left
        for pid in left:
            _kill(pid)
        for pid in left:
            _wait_for_end_of(pid, _BUDGET)
        if left.keys() == _since(before).keys():
            pytest.exit(f"cannot end what a test has left running: {left}", returncode=1)
    return killed


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _left_open(before: dict[int, str]) -> list[str]:
    if not _opened_since(before):
        return []
    gc.collect()  # what is only waiting to be collected is no leak
    return _opened_since(before)


def _opened_since(before: dict[int, str]) -> list[str]:
    now = _descriptors()
    return [f"{fd}: {target}" for fd, target in now.items() if before.get(fd) != target]


def _descriptors() -> dict[int, str]:
    """The open descriptors of this process and what each leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - no file
        except FileNotFoundError:  # the one that listed the directory
            continue
    return found


def _mounts(base: Path) -> set[str]:
    """The mounts in the directories that this run has made."""
    ours = (base, *made_by_this_run())
    return {
        f"{mount.number}: {mount.point}"
        for mount in mounts()
        if any(Path(mount.point).is_relative_to(path) for path in ours)
    }
