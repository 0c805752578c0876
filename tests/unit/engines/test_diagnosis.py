"""The one thing that is missing for a level of containment, and not all that could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker.engines.host.diagnosis import explain
from jobworker.model import Level

SETTINGS = {
    "user/max_user_namespaces": "15000",
    "kernel/unprivileged_userns_clone": "1",
    "kernel/apparmor_restrict_unprivileged_userns": "0",
}
REFUSED = "clone (clone): Operation not permitted"
ALL = "000001ffffffffff"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """What a kernel says that forbids nothing."""
    for name, value in SETTINGS.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(f"{value}\n")
    be(tmp_path, capabilities=ALL)
    mount_at(tmp_path, "/")
    return tmp_path


def mount_at(proc: Path, *places: str) -> None:
    lines = [f"2{n} 1 8:1 / {place} rw - ext4 /dev/sda1 rw\n" for n, place in enumerate(places)]
    (proc / "self/mountinfo").write_text("".join(lines))


def be(proc: Path, *, capabilities: str, seccomp: int = 0) -> None:
    (proc / "self").mkdir(exist_ok=True)
    (proc / "self/status").write_text(
        f"Name:\tpython\nCapPrm:\t0\nCapEff:\t{capabilities}\nSeccomp:\t{seccomp}\n"
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_one_setting_that_forbids_is_named(proc: Path, setting: str, value: str) -> None:
    (proc / "sys" / setting).write_text(f"{value}\n")
    told = explain("namespaces", REFUSED, proc)
    named = [name for name in SETTINGS if name.replace("/", ".") in told]
    assert named == [setting]
    assert f"{setting.replace('/', '.')} = {value} forbids" in told


def test_a_setting_that_this_kernel_does_not_have_is_not_named(proc: Path) -> None:
    for name in SETTINGS:
        (proc / "sys" / name).unlink()
    assert "setting" not in explain("namespaces", REFUSED, proc)


def test_the_filter_of_a_container_is_named(proc: Path) -> None:
    be(proc, capabilities=ALL, seccomp=2)
    assert "the filter of the container around it" in explain("namespaces", REFUSED, proc)


@pytest.mark.parametrize("level", ["full", "namespaces"])
def test_a_plain_chroot_is_named(proc: Path, level: Level) -> None:
    mount_at(proc, "/proc", "/dev")
    told = explain(level, "setup (/): Invalid argument", proc)
    assert told.startswith("the root directory is no mount point, as in a plain chroot")


def test_what_fails_later_is_not_told_as_user_namespaces(proc: Path) -> None:
    told = explain("namespaces", "setup (/proc): Permission denied", proc)
    assert told == "trying it failed (setup (/proc): Permission denied)"


def test_the_capabilities_that_are_missing_are_named(proc: Path) -> None:
    be(proc, capabilities="00000000a80425fb")  # those of a container
    told = explain("full", REFUSED, proc)
    assert told == f"it needs root, with CAP_SYS_ADMIN ({REFUSED})"
    assert explain("uid", REFUSED, proc) == f"trying it failed ({REFUSED})"
