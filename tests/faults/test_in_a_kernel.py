"""What takes another kernel than this machine's (``support.kernel``).

The tests of limits once more, where there is one cgroup v2 hierarchy; what sets the clock;
and disks with project quotas. A kernel has one processor, so as many as this machine has run
side by side.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from support.kernel import ALICE, ROOT, FileSystem, is_inside, run_tests_in_kernel

pytestmark = [
    pytest.mark.needs("linux.uml"),
    pytest.mark.skipif(is_inside(), reason="this is the kernel in which the tests are to be run"),
]

_DISK = 320 << 20
"""mkfs.xfs makes none below 300 MB. All but what is written is a hole."""

_EXT4_WITH_QUOTAS = ["mkfs.ext4", "-q", "-O", "project,quota", "-E", "quotatype=prjquota"]


class Run(NamedTuple):
    """Tests to run in a kernel; with ``make`` on a disk that this command has made."""

    tests: str
    user: int = ROOT
    make: list[str] | None = None
    file_system: FileSystem | None = None

    def go(self, disk: Path) -> None:
        if self.make is None:
            run_tests_in_kernel(self.tests, user=self.user)
            return
        with disk.open("wb") as file:
            file.truncate(_DISK)
        subprocess.run([*self.make, disk], check=True)
        run_tests_in_kernel(self.tests, user=self.user, disk=disk, tmp=self.file_system)


# The longest first, or the last one would run alone. Names are words of a kernel's command line.
RUNS = {
    "limits-by-root": Run("tests/limits"),
    "limits-by-a-delegate": Run("tests/limits", ALICE),
    "tmp-on-xfs": Run(
        "tests/limits/test_tmp.py", ROOT, ["mkfs.xfs", "-q"], FileSystem("xfs", "pquota")
    ),
    "tmp-on-ext4": Run(
        "tests/limits/test_tmp.py", ROOT, _EXT4_WITH_QUOTAS, FileSystem("ext4", "prjquota")
    ),
    "clock": Run("tests/faults/clock_in_kernel.py"),
}


@pytest.fixture(scope="module")
def ended(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """Every run that is wanted of this file, over."""
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    faulthandler.cancel_dump_traceback_later()  # each run has a budget, longer than pytest's
    disks = tmp_path_factory.mktemp("disks")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs: dict[str, Future[None]] = {
            name: pool.submit(run.go, disks / name) for name, run in RUNS.items() if name in wanted
        }
    yield runs
    for disk in disks.iterdir():
        disk.unlink()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.needs(run.make[0]) if run.make else ())
        for name, run in RUNS.items()
    ],
)
def test_in_a_kernel(name: str, ended: dict[str, Future[None]]) -> None:
    ended[name].result()
