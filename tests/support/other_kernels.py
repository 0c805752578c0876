"""Runs tests in kernels of their own (``support.kernel``) while others run on this machine.

A kernel has one processor, and most tests on this machine wait for one at a time. So these
runs begin with the session, in a process of their own, and are asked for at its end.
"""

from __future__ import annotations

import faulthandler
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

from support.adoption import descendants, leave_alone
from support.directories import make_directory
from support.kernel import ALICE, ROOT, FileSystem, choice, is_inside, run_tests_in_kernel
from support.kernel_boot import WAYS, Way

_TESTS = Path(__file__).resolve().parents[1]

_DISK = 320 << 20
"""mkfs.xfs makes none below 300 MB. All but what is written is a hole."""

_NICE = 5
"""The tests of this machine come first: theirs are the short budgets."""


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
    """What becomes of the runs that a session has begun."""

    def __init__(self, names: list[str], way: Way, at_once: int) -> None:
        self._directory = make_directory("kernels-")
        with self._log.open("wb") as log:
            self._runner = subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__),
                    *(str(self._directory), way.name, str(at_once), *names),
                ],
                cwd=_TESTS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        leave_alone(self._runner.pid)

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def wait(self) -> None:
        """Return once all have ended: each has its budget."""
        self._runner.wait()

    def close(self) -> None:
        """End what still runs, and forget the rest."""
        self._runner.terminate()
        self._runner.wait()
        shutil.rmtree(self._directory)

    def of(self, name: str) -> str:
        """Why a run has failed, or nothing; of those that have ended."""
        try:
            return (self._directory / name).read_text()
        except FileNotFoundError:
            return f"it was not run to its end:\n{self._log.read_text()}"


_OUTCOMES = pytest.StashKey[Outcomes]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what asks for the outcomes at the end."""
    items.sort(key=lambda item: _run_of(item) is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the runs that are wanted."""
    names = [name for item in session.items if (name := _run_of(item))]
    if not names or is_inside() or session.config.option.collectonly:
        return
    way = choice().way
    if way is None:  # which each of the tests tells
        return
    processors = os.cpu_count() or 1
    alone = len(names) == len(session.items)
    at_once = processors if alone else max(processors - 1, 1)
    session.config.stash[_OUTCOMES] = Outcomes(names, way, at_once)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no run behind, also where the session was broken off."""
    if _OUTCOMES in config.stash:
        config.stash[_OUTCOMES].close()


@pytest.fixture(scope="session")
def kernels(request: pytest.FixtureRequest) -> Outcomes:
    """The outcomes, once there are all of them."""
    faulthandler.cancel_dump_traceback_later()  # their budgets are longer than that of a test
    outcomes = request.config.stash[_OUTCOMES]
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
