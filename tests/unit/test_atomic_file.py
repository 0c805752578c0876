"""A file is replaced whole, whatever an earlier writer has left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from jobworker import atomic_file


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_made_and_replaced_for_its_owner_alone(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "file"
    atomic_file.replace(str(path), b"old", durable=durable)
    atomic_file.replace(str(path), b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_was_left_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("untouched")
    (tmp_path / ".file").symlink_to("other")
    atomic_file.replace(str(tmp_path / "file"), b"new")
    assert (tmp_path / "other").read_text() == "untouched"
    assert not (tmp_path / ".file").is_symlink()


@pytest.mark.parametrize("durable", [True, False])
def test_a_path_may_start_at_a_descriptor(tmp_path: Path, *, durable: bool) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        atomic_file.replace("file", b"new", durable=durable, dir_fd=directory)
    finally:
        os.close(directory)
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_reader_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        atomic_file.replace(str(path), b"new")
        assert reader.read() == b"old"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        atomic_file.replace(str(path), "text")  # type: ignore[arg-type]  # fails half-way
    assert path.read_bytes() == b"old"
