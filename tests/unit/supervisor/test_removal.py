"""The removal of what a job could write in: bounded in time, whatever stands there.

The supervisor does it in C, and for one that was killed the server does: held to the same.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from jobworker.spool.removal import remove_tree
from jobworker.supervisor import records
from support import native

LONG = 60.0
"""Seconds: never reached, on however busy a machine."""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[int]:
    opened = records.open_directory(str(tmp_path))
    yield opened
    os.close(opened)


class Remove(Protocol):
    """One of the two."""

    def __call__(self, parent: int, seconds: float = LONG, name: str = "job") -> None: ...


def by_server(parent: int, seconds: float = LONG, name: str = "job") -> None:
    remove_tree(name, parent, seconds)


def by_supervisor(parent: int, seconds: float = LONG, name: str = "job") -> None:
    if native.library().removal_of(name.encode(), parent, ctypes.c_double(seconds)) < 0:
        native.raise_errno()


@pytest.fixture(
    params=[by_server, pytest.param(by_supervisor, marks=native.needs_compiler)],
    ids=["by the server", "by the supervisor"],
)
def remove(request: pytest.FixtureRequest) -> Remove:
    chosen: Remove = request.param
    return chosen


def test_t62_names_that_are_taken_are_skipped(remove: Remove, parent: int, tmp_path: Path) -> None:
    """Deeper than what is gone down into, with every name of a moved directory taken."""
    job = tmp_path / "job"
    for number in range(50):
        (job / f".removed-{number}" / "kept").mkdir(parents=True)
    (job / ".removed-50").write_text("a file")
    (job / Path(*["d"] * 60)).mkdir(parents=True)
    (job / Path(*[".removed-0"] * 60)).mkdir(parents=True)
    remove(parent)
    assert not job.exists()


def test_a_tree_goes_whole_however_deep_odd_or_closed(
    remove: Remove, parent: int, tmp_path: Path
) -> None:
    """Deeper than the limit of open files; links stay unfollowed."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "precious").write_text("x")
    job = tmp_path / "job"
    job.mkdir()
    (job / "link").symlink_to(outside)
    (job / "name\nof\x7f\xff").touch(0)
    (job / "closed" / "inner").mkdir(parents=True)
    (job / "closed" / "inner" / "file").write_text("x")
    (job / "closed" / "inner").chmod(0)
    (job / "closed").chmod(0)
    at = records.open_directory("job", parent)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = records.open_directory("d", at)
        os.close(at)
        at = below
    os.close(at)
    remove(parent)
    assert not job.exists()
    assert outside.stat().st_mode & 0o777 == 0o500
    assert (tmp_path / "precious").read_text() == "x"
    remove(parent)


@pytest.mark.parametrize("kind", ["file", "link", "fifo", "none"])
def test_what_is_no_directory_goes_too(
    remove: Remove, parent: int, tmp_path: Path, kind: str
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    job = tmp_path / "job"
    if kind == "link":
        job.symlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(job)
    elif kind == "file":
        job.touch()
    remove(parent)
    assert not os.path.lexists(job)
    assert (precious / "file").read_text() == "x"


def test_it_ends_in_time_and_another_call_goes_on(
    remove: Remove, parent: int, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    for number in range(300):
        (job / str(number)).mkdir(parents=True)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        remove(parent, 0.0)
    assert time.monotonic() - began < LONG
    remove(parent)
    assert not job.exists()


def test_more_entries_than_are_listed_at_once_go(
    remove: Remove, parent: int, tmp_path: Path
) -> None:
    """At the top and a level down, with long names and short ones."""
    for number in range(1100):
        (tmp_path / "job" / str(number)).mkdir(parents=True)
        (tmp_path / "job" / "0" / f"{number:0250}").touch()
    remove(parent)
    assert not (tmp_path / "job").exists()


def test_what_cannot_be_removed_is_told(remove: Remove, parent: int) -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
        remove(parent, name="x" * 300)
    assert raised.value.errno == errno.ENAMETOOLONG
