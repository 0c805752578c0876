"""Runs tests in kernels of their own (``support.kernel``) while others run on this machine.

A kernel has one processor, and most tests on this machine wait for one at a time. So these
runs begin with the session, in a process of their own, and are asked for at its end; where
the session has workers, it is their controller that begins them, once for all.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

from support.adopter import end_with_parent
from support.adoption import descendants, leave_alone
from support.directories import make_directory
from support.kernel import ALICE, ROOT, FileSystem, choice, is_inside, run_tests_in_kernel
from support.kernel_boot import WAYS, Way
from support.workers import Node, is_worker, worker_input

_TESTS = Path(__file__).resolve().parents[1]

_DISK = 320 << 20
"""mkfs.xfs makes none below 300 MB. All but what is written is a hole."""

_NICE = 5
"""The tests of this machine come first: theirs are the short budgets."""


_LOCK, _LOG = "lock", "log"
"""In the directory of outcomes: held until all are there, and what the runs print."""

_INPUT = "kernels"
"""Under which a worker is told that directory."""


class Disk(NamedTuple):
    """A disk for /tmp, and the command that makes it."""

    make: list[str]
    file_system: FileSystem


class Run(NamedTuple):
    """Tests to run in a kernel."""

    tests: str
    user: int = ROOT
    tmp: Disk | None = None

    def go(self, way: Way, disk: Path) -> None:
        """Run them, with a disk in the file ``disk`` where it takes one; fails as they do."""
        if self.tmp is None:
            run_tests_in_kernel(self.tests, way=way, user=self.user)
            return
        with disk.open("wb") as file:
            file.truncate(_DISK)
        subprocess.run([*self.tmp.make, disk], check=True)
        file_system = self.tmp.file_system
        run_tests_in_kernel(self.tests, way=way, user=self.user, disk=disk, tmp=file_system)


_XFS = Disk(["mkfs.xfs", "-q"], FileSystem("xfs", "pquota"))
_EXT4 = Disk(
    ["mkfs.ext4", "-q", "-O", "project,quota", "-E", "quotatype=prjquota"],
    FileSystem("ext4", "prjquota"),
)

# The longest first. Root has the root cgroup, the delegate one that was given to it.
RUNS = {
    "limits-by-root": Run("tests/limits"),
    "limits-by-a-delegate": Run("tests/limits", ALICE),
    "tmp-on-xfs": Run("tests/limits/test_tmp.py", tmp=_XFS),
    "tmp-on-ext4": Run("tests/limits/test_tmp.py", tmp=_EXT4),
    "clock": Run("tests/faults/clock_in_kernel.py"),
}


class Outcomes:
    """What has become of the runs that a session has begun, by their directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def wait(self) -> None:
        """Return once all have ended: each has its budget."""
        with (self._directory / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)

    def of(self, name: str) -> str:
        """Why a run has failed, or nothing; of those that have ended."""
        try:
            return (self._directory / name).read_text()
        except FileNotFoundError:
            return f"it was not run to its end:\n{(self._directory / _LOG).read_text()}"


class Runner:
    """The process that does the runs, and the directory of what becomes of them."""

    def __init__(self) -> None:
        self.directory = make_directory("kernels-")
        self._lock = (self.directory / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.directory / _LOG).touch()
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, names: list[str], *, alone: bool) -> None:
        """Begin these, if any and if a kernel boots here; a second time, do nothing.

        ``alone`` says that no other tests run beside them.
        """
        if self._lock.closed:
            return
        # Where there is no way, each of the tests tells so.
        if names and (way := choice().way):
            processors = os.cpu_count() or 1
            at_once = processors if alone else max(processors - 1, 1)
            self._process = self._start(way, at_once, names)
            leave_alone(self._process.pid)
        self._lock.close()

    def _start(self, way: Way, at_once: int, names: list[str]) -> subprocess.Popen[bytes]:
        """Start the process, which keeps the lock for as long as it lives."""
        with (self.directory / _LOG).open("wb") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__),
                    *(str(self.directory), way.name, str(at_once), *names),
                ],
                cwd=_TESTS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._lock.fileno()],
            )

    def close(self) -> None:
        """End what still runs, and forget the rest."""
        self._lock.close()
        if self._process:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self.directory)


_RUNNER = pytest.StashKey[Runner]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what asks for the outcomes at the end."""
    items.sort(key=lambda item: _run_of(item) is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the runs that are wanted, where this process runs the tests by itself."""
    config = session.config
    names = [name for item in session.items if (name := _run_of(item))]
    if names and not (is_inside() or is_worker(config) or config.option.collectonly):
        config.stash[_RUNNER] = Runner()
        config.stash[_RUNNER].begin(names, alone=len(names) == len(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Node) -> None:
    """Tell a worker where it finds what becomes of the runs."""
    if _RUNNER not in node.config.stash:
        node.config.stash[_RUNNER] = Runner()
    node.workerinput[_INPUT] = str(node.config.stash[_RUNNER].directory)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Node, ids: list[str]) -> None:
    """Begin the runs that are wanted, once the first worker has told what there is to run."""
    names = [
        name for name in RUNS if any(id_.endswith(f"::test_in_a_kernel[{name}]") for id_ in ids)
    ]
    node.config.stash[_RUNNER].begin(names, alone=len(names) == len(ids))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no run behind, also where the session was broken off."""
    if runner := config.stash.get(_RUNNER, None):
        runner.close()


@pytest.fixture(scope="session")
def kernels(request: pytest.FixtureRequest) -> Outcomes:
    """The outcomes, once there are all of them."""
    faulthandler.cancel_dump_traceback_later()  # their budgets are longer than that of a test
    config = request.config
    if is_worker(config):
        outcomes = Outcomes(Path(worker_input(config)[_INPUT]))
    else:
        outcomes = Outcomes(config.stash[_RUNNER].directory)
    outcomes.wait()
    return outcomes


def _run_of(item: pytest.Item) -> str | None:
    """The name of the run whose outcome a test asks for."""
    if isinstance(item, pytest.Function) and "kernels" in item.fixturenames:
        return str(item.callspec.params["run"])
    return None


def main(directory: str, way: str, at_once: str, *names: str) -> None:
    """Run these, booted that way, and leave a file of each one's name with why it failed."""
    os.nice(_NICE)
    with ThreadPoolExecutor(int(at_once)) as pool:

        def give_up(_number: int, _frame: FrameType | None) -> None:
            pool.shutdown(wait=False, cancel_futures=True)
            for pid in descendants(os.getpid()):
                os.kill(pid, signal.SIGKILL)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, give_up)
        end_with_parent(signal.SIGTERM)
        for name in names:
            pool.submit(_run, name, WAYS[way], Path(directory))


def _run(name: str, way: Way, directory: Path) -> None:
    disk = directory / f"{name}.disk"
    try:
        RUNS[name].go(way, disk)
        told = ""
    except BaseException as error:  # noqa: BLE001  # those of pytest are no Exception; told there
        told = f"{type(error).__name__}: {error}"
    finally:
        disk.unlink(missing_ok=True)
    (directory / name).write_text(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
