"""What takes another kernel than this machine's (``support.kernel``).

The tests of limits once more, where there is one cgroup v2 hierarchy; what sets the clock;
and disks with project quotas.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.kernel import ALICE, ROOT, FileSystem, is_inside, run_tests_in_kernel

pytestmark = [
    pytest.mark.needs("linux.uml"),
    pytest.mark.skipif(is_inside(), reason="this is the kernel in which the tests are to be run"),
]


@pytest.mark.parametrize("user", [ROOT, ALICE], ids=["root", "delegated"])
def test_limits_on_cgroup_v2(user: int) -> None:
    """Root has the root cgroup; the other one a subtree that is delegated to it."""
    run_tests_in_kernel("tests/limits", user=user)


def test_a_clock_that_is_set() -> None:
    run_tests_in_kernel("tests/faults/clock_in_kernel.py", user=ROOT)


_DISK = 320 << 20
"""mkfs.xfs makes none below 300 MB. All but what is written is a hole."""

EXT4_WITH_QUOTAS = ["mkfs.ext4", "-q", "-O", "project,quota", "-E", "quotatype=prjquota"]


@pytest.mark.needs("mkfs.xfs", "mkfs.ext4")
@pytest.mark.parametrize(
    ("make", "file_system"),
    [
        (["mkfs.xfs", "-q"], FileSystem("xfs", "pquota")),
        (EXT4_WITH_QUOTAS, FileSystem("ext4", "prjquota")),
    ],
    ids=["xfs", "ext4"],
)
def test_tmp_is_limited_on(make: list[str], file_system: FileSystem, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(_DISK)
    subprocess.run([*make, disk], check=True)
    run_tests_in_kernel("tests/limits/test_tmp.py", user=ROOT, disk=disk, tmp=file_system)
