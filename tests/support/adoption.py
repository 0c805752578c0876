"""Lets a process of our own adopt every orphan of a test, so that it can be found.

It is the parent of pytest, or of each worker where pytest-xdist runs the tests in several.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import execnet
import pytest

from support import adopter
from support.workers import is_controller, is_worker


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Fork once, where it is this process that runs the tests, and is below no adopter yet."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        raise pytest.UsageError("these tests need /proc with its children files (Linux >= 4.2)")
    if not is_controller(config) and not is_worker(config):
        adopter.fork_below_adopter()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[execnet.XSpec]) -> None:
    """Have each worker started below an adopter of its own."""
    below = shlex.join([sys.executable, "-I", adopter.__file__, sys.executable])
    for spec in specs:
        spec.python = below


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
