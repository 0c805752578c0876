"""Makes pytest's own parent adopt and reap every orphan of a test, as an init would.

A process that a test has started can leave its parent, its session and its
environment behind, but not the process that adopts orphans (prctl(2),
PR_SET_CHILD_SUBREAPER). So whatever a test leaves running stays below that one and
can be found. It reaps at once, where PID 1 of a container may reap late or never.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Fork once: the child goes on as pytest, the parent only adopts."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        raise pytest.UsageError("these tests need /proc with its children files (Linux >= 4.2)")
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        os._exit(_adopt_until_end_of(child))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _adopt_until_end_of(child: int) -> int:
    """Reap everything until ``child`` ends; return what to exit with."""
    for ignored in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)  # a terminal sends these to pytest as well
    for passed_on in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(passed_on, lambda number, _frame: os.kill(child, number))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


_left_alone: set[int] = set()


def leave_alone(pid: int) -> None:
    """Take this process, and what is below it, for none that a test has started."""
    _left_alone.add(pid)


def everything_below() -> dict[int, str]:
    """Every process that a test has started, in whatever way, and that has not ended.

    By PID, with its command line. A zombie has ended.
    """
    found = {pid: _describe(pid) for pid in descendants(os.getppid()) if pid != os.getpid()}
    return {pid: text for pid, text in found.items() if text is not None}


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, and theirs, but for what is left alone."""
    for child in _children(pid):
        if child not in _left_alone:
            yield child
            yield from descendants(child)


def _children(pid: int) -> list[int]:
    """The children of every thread of ``pid``; none where it has ended meanwhile."""
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return children
    return children


def _describe(pid: int) -> str | None:
    """The command line of a process, or None where it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else command.replace(b"\0", b" ").decode(errors="replace")
