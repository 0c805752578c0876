"""What is missing for the limit of ``tmp``, and what to do about it, in plain words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from jobworker.engines.host.mountinfo import Mount
from jobworker.engines.host.tmp_quota import hint, tmp_row, why_not
from jobworker.model import Level

XFS = Mount("xfs", "/srv/with space", "/dev/mapper/a-b")
EXT4 = Mount("ext4", "/var", "/dev/sda2")
OVERLAY = Mount("overlay", "/", "overlay")


@pytest.mark.parametrize(
    ("mount", "number", "words"),
    [
        (XFS, errno.ENOSYS, "the xfs file system at /srv/with space is not mounted with pquota"),
        (EXT4, errno.ESRCH, "the ext4 file system at /var is not mounted with prjquota"),
        (OVERLAY, errno.ENOTTY, "the overlay file system at / has no project quotas"),
        (EXT4, errno.EIO, "could not limit a directory (Input/output error)"),
        (EXT4, errno.EPERM, "only root of the machine can limit what is stored"),
    ],
)
def test_what_is_missing(mount: Mount, number: int, words: str) -> None:
    assert words in why_not(mount, OSError(number, os.strerror(number)))


def test_what_to_do() -> None:
    assert "tune2fs -O project,quota -Q prjquota /dev/sda2" in hint(EXT4, Path("/var/lib/jobd"))
    assert "rootflags=prjquota" in hint(Mount("ext4", "/", "/dev/sda1"), Path("/var"))
    assert "-o pquota" in hint(XFS, Path("/srv"))
    assert hint(OVERLAY, Path("/var/lib/jobd")).startswith("see that /var/lib/jobd is on ext4")


@pytest.mark.parametrize("level", ["namespaces", "basic"])
def test_levels_without_root_have_none(level: Level, tmp_path: Path) -> None:
    row = tmp_row(level, tmp_path)
    assert row.mechanism is None
    assert f"this is level {level}" in (row.missing or "")
    assert "as root" in (row.hint or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_a_directory_that_is_not_there_yet_is_told_by_its_parent(tmp_path: Path) -> None:
    assert tmp_row("full", tmp_path / "state") == tmp_row("full", tmp_path)
    assert list(tmp_path.iterdir()) == []
