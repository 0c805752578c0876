"""A cgroup of a test's own, on whichever hierarchies this machine has (cgroups(7)).

In the kernel that ``support.kernel`` boots that is v2, as root and as a user with a
delegated subtree; on many hosts it is v1, a hierarchy for each controller.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.kernel import is_inside
from support.waiting import until

CONTROLLERS = ("memory", "cpu", "pids")
_MOUNTS = Path("/sys/fs/cgroup")
_ENTER = 'for procs in $CGROUPS; do echo 0 >"$procs" || exit 125; done; unset CGROUPS; exec "$@"'
"""``sh -c`` this: the shell moves itself and then becomes the program."""

_RUN_BUDGET = 60
"""Seconds for a small program: it may be throttled, on a machine that may be busy."""


@dataclass(frozen=True)
class Cgroup:
    """A cgroup with the three controllers: on v1 a directory for each, on v2 the same one."""

    version: int
    directories: dict[str, Path]

    def file(self, v2: str, v1: str = "") -> Path:
        """The file of this name on v2, or of that name on v1, which begins with a controller."""
        name = v2 if self.version == 2 else v1
        return self.directories.get(name.partition(".")[0], self.directories["memory"]) / name

    def limit_memory(self, size: int) -> None:
        """Allow that many bytes."""
        self.file("memory.max", "memory.limit_in_bytes").write_text(str(size))

    def limit_processes(self, number: int) -> None:
        """Allow that many processes and threads."""
        self.file("pids.max", "pids.max").write_text(str(number))

    def limit_cpu(self, percent: int) -> None:
        """Allow this share of one processor."""
        period, quota = 100_000, percent * 1000
        if self.version == 2:
            self.file("cpu.max").write_text(f"{quota} {period}")
        else:
            self.file("", "cpu.cfs_period_us").write_text(str(period))
            self.file("", "cpu.cfs_quota_us").write_text(str(quota))

    def facts(self, v2: str, v1: str) -> dict[str, int]:
        """A file of lines of a word and a number."""
        lines = self.file(v2, v1).read_text().splitlines()
        return {word: int(number) for word, number in map(str.split, lines)}

    def processes(self) -> set[int]:
        """The PIDs of all that are inside; a zombie is none of them."""
        return {
            int(pid)
            for path in self.directories.values()
            for pid in (path / "cgroup.procs").read_text().split()
        }

    def kill(self) -> None:
        """Kill all that is inside: by one write on v2, which no fork escapes."""
        if self.version == 2:
            self.file("cgroup.kill").write_text("1")
        for pid in self.processes() if self.version == 1 else ():
            os.kill(pid, signal.SIGKILL)

    def python(self, code: str) -> subprocess.Popen[str]:
        """Start a small Python inside; its standard output and error are pipes."""
        procs = " ".join(str(path / "cgroup.procs") for path in set(self.directories.values()))
        return subprocess.Popen(
            ["/bin/sh", "-c", _ENTER, "sh", sys.executable, "-I", "-S", "-c", code],
            env=os.environ | {"CGROUPS": procs},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> tuple[int, str]:
        """Run a small Python inside to its end; its exit code and what it printed."""
        with self.python(code) as program:
            printed, complaints = program.communicate(timeout=_RUN_BUDGET)
        return program.returncode, printed + complaints


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """A new cgroup without limits; whatever is in it in the end is killed."""
    with _parent_on_v1() or _parent_on_v2() as parent, _child_of(parent) as made:
        yield made


@contextmanager
def _child_of(parent: Cgroup) -> Iterator[Cgroup]:
    name = f"test-{os.getpid()}"
    made = Cgroup(parent.version, {key: path / name for key, path in parent.directories.items()})
    directories = set(made.directories.values())
    for path in directories:
        path.mkdir()
    try:
        yield made
    finally:
        made.kill()
        until(lambda: not made.processes())
        for path in directories:
            path.rmdir()


def _own(controller: str) -> str | None:
    """Where this process is in the hierarchy of a controller; "" is v2 (cgroups(7))."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return None


def _parent_on_v1() -> AbstractContextManager[Cgroup] | None:
    """Our own v1 cgroups, where the controllers are there."""
    places = {name: _own(name) for name in CONTROLLERS}
    if None in places.values():
        return None
    assert not is_inside(), "the kernel of our own should have one v2 hierarchy"
    found = {name: _MOUNTS / name / str(place) for name, place in places.items()}
    _check_writable(*found.values())
    return nullcontext(Cgroup(1, found))


@contextmanager
def _parent_on_v2() -> Iterator[Cgroup]:
    """A cgroup whose children have the controllers: the root's, or else our own.

    But for the root a cgroup has either processes or children with controllers. So
    everyone in it, us included, moves to a leaf first, and back in the end.
    """
    parent = _MOUNTS if os.geteuid() == 0 else _MOUNTS / (_own("") or "")
    _check_writable(parent)
    found = Cgroup(2, dict.fromkeys(CONTROLLERS, parent))
    if not (parent / "cgroup.type").exists():  # the root
        yield found
        return
    leaf = parent / "tests"
    leaf.mkdir()
    try:
        _move_all(parent, leaf)
        _control(parent, "+")
        yield found
    finally:
        _control(parent, "-")
        _move_all(leaf, parent)
        leaf.rmdir()


def _move_all(source: Path, target: Path) -> None:
    while pids := (source / "cgroup.procs").read_text().split():
        for pid in pids:
            try:
                (target / "cgroup.procs").write_text(pid)
            except ProcessLookupError:
                continue  # it has ended meanwhile


def _control(cgroup: Path, sign: str) -> None:
    words = " ".join(sign + name for name in CONTROLLERS)
    (cgroup / "cgroup.subtree_control").write_text(words)


def _check_writable(*cgroups: Path) -> None:
    for path in cgroups:
        if not os.access(path / "cgroup.procs", os.W_OK):
            pytest.skip(f"takes a cgroup that is ours to divide, which {path} is not")
