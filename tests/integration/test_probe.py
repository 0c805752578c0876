"""What a machine without seccomp, or without Landlock, is said to do for jobs (T28)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.engines.host.probe import probe, weakness
from jobworker.model import Level
from support import kernel_calls
from support.levels import working

WITHOUT = """
import os, struct, sys
from support import kernel_calls
number, *command = sys.argv[1:]
kernel_calls.forbid_privileges()
kernel_calls.install_filter(b"".join(struct.pack("<HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, int(number)), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000),
)))
os.execv(command[0], command)
"""
"""Go on as told, in a kernel without the system call of this number."""

WORKING: list[Level] = [result.level for result in probe() if result.works]


def doctor_without(call: str) -> dict[str, dict[str, str | bool | None]]:
    number = str(kernel_calls.NUMBERS[call])
    doctor = [sys.executable, "-m", "jobworker.daemon", "doctor", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, number, *doctor],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return {one["level"]: one for one in json.loads(done.stdout)["containment"]}


def test_t28_without_seccomp_only_basic_is_left() -> None:
    found = doctor_without("seccomp")
    assert [level for level, one in found.items() if one["works"]] == ["basic"]
    for level in WORKING:
        if level != "basic":
            assert str(found[level]["missing"]).startswith("it needs seccomp filters")


def test_without_landlock_all_work_and_are_said_to_be_weaker() -> None:
    found = doctor_without("landlock_create_ruleset")
    for level in WORKING:
        assert found[level]["works"]
        assert bool(found[level]["weaker"]) == (level != "basic")


@pytest.mark.parametrize(
    ("level", "version", "words"),
    [
        ("full", 0, "this kernel has none"),
        ("full", 4, "this kernel has version 4"),
        ("uid", 4, "and signal other jobs of their owner"),
        ("uid", 1, "and signal and trace other jobs of their owner"),
    ],
)
def test_what_is_weaker(level: Level, version: int, words: str) -> None:
    assert words in str(weakness(level, version))


@pytest.mark.parametrize(("level", "version"), [("full", 6), ("uid", 7), ("basic", 0)])
def test_nothing_is_weaker(level: Level, version: int) -> None:
    assert weakness(level, version) is None


AS_NOBODY = f"setpriv --reuid 65534 --regid 65534 --clear-groups {sys.executable}"
DOCTOR = "-m jobworker.daemon doctor --json --state /nowhere"


def doctor_after(script: str, directory: Path) -> dict[str, str]:
    """What an ordinary user is told is missing, by level; the script ends where it looks."""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-euc", script, "sh", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return {one["level"]: str(one["missing"]) for one in json.loads(done.stdout)["containment"]}


@pytest.mark.root
@pytest.mark.needs("unshare", "setpriv", "mount")
@pytest.mark.parametrize("level", working("namespaces"))
def test_an_unwritable_dev_shm_is_named_and_not_user_namespaces(
    shared_dir: Path, level: Level
) -> None:
    script = f"mount -t tmpfs -o mode=0755 tmpfs /dev/shm; exec {AS_NOBODY} {DOCTOR}"
    found = doctor_after(script, shared_dir)
    assert found[level].startswith("/dev/shm is there and cannot be written")


PLAIN_CHROOT = """
for place in /*; do
    [ -d "$place" ] && [ ! -h "$place" ] && case $1 in "$place"/*) false ;; esac || continue
    mkdir "$1$place"; mount --rbind "$place" "$1$place"
done
for place in /*; do [ ! -h "$place" ] || cp -d "$place" "$1$place"; done
"""
BOUND_CHROOT = 'mount --rbind / "$1"\n'


@pytest.mark.root
@pytest.mark.needs("unshare", "setpriv", "mount", "chroot")
@pytest.mark.parametrize("level", working("namespaces"))
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (PLAIN_CHROOT, "which the kernel does not allow in a chroot (clone"),
        (BOUND_CHROOT, "which the kernel does not allow here, as in a chroot (clone"),
    ],
    ids=["plain", "bound"],
)
def test_a_chroot_is_not_told_as_a_setting(
    shared_dir: Path, level: Level, make: str, words: str
) -> None:
    found = doctor_after(f'{make} exec chroot "$1" {AS_NOBODY} {DOCTOR}', shared_dir)
    assert words in found[level]
    assert "max_user_namespaces" not in found[level]
