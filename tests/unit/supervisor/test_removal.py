"""The removal of what a job could write in: bounded in time, whatever stands there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.spool.removal import remove_tree
from jobworker.supervisor import records

LONG = 60.0
"""Seconds: never reached, on however busy a machine."""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    opened = records.open_directory(str(tmp_path))
    yield opened
    os.close(opened)


def test_t62_names_that_are_taken_are_skipped(parent: int, tmp_path: Path) -> None:
    """Deeper than what is gone down into, with every name of a moved directory taken."""
    job = tmp_path / "job"
    for number in range(50):
        (job / f".removed-{number}" / "kept").mkdir(parents=True)
    (job / ".removed-50").write_text("a file")
    (job / Path(*["d"] * 60)).mkdir(parents=True)
    (job / Path(*[".removed-0"] * 60)).mkdir(parents=True)
    remove_tree("job", parent, LONG)
    assert not job.exists()


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_what_is_no_directory_goes_too(parent: int, tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    job = tmp_path / "job"
    if kind == "link":
        job.symlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(job)
    else:
        job.touch()
    remove_tree("job", parent, LONG)
    assert not os.path.lexists(job)
    assert (precious / "file").read_text() == "x"


def test_it_ends_in_time_and_another_call_goes_on(parent: int, tmp_path: Path) -> None:
    job = tmp_path / "job"
    for number in range(300):
        (job / str(number)).mkdir(parents=True)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="too much"):
        remove_tree("job", parent, 0.0)
    assert time.monotonic() - began < LONG
    remove_tree("job", parent, LONG)
    assert not job.exists()


def test_more_directories_than_are_listed_at_once_go(parent: int, tmp_path: Path) -> None:
    """At the top and a level down."""
    for number in range(1100):
        (tmp_path / "job" / str(number)).mkdir(parents=True)
        (tmp_path / "job" / "0" / str(number)).mkdir(parents=True)
    remove_tree("job", parent, LONG)
    assert not (tmp_path / "job").exists()
