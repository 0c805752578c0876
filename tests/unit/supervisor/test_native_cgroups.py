"""The cgroup of a job by the C; what the kernel makes of it is tested in ``tests/limits``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobworker.supervisor import records
from jobworker.supervisor.records import Fields
from support import native

pytestmark = native.needs_compiler


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that looks like one of cgroup v2 from outside, without files."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def make(
    place: Path, spec: Fields, ceiling: str = "", limit: str = "pids:2", *, kept: bool = False
) -> tuple[bool, Fields]:
    spool = records.open_directory(str(place.parent))
    told = native.FieldsOut()
    try:
        records.begin(spool, [("arg", b"/bin/true"), *spec])
        result = native.library().view_cgroup(
            f"{limit}:{place}".encode(), ceiling.encode(), spool, b"job", kept, told.reference
        )
    finally:
        os.close(spool)
    return result == 0, told.fields()


def test_without_limits_there_is_none(place: Path) -> None:
    made, known = make(place, [])
    assert made
    assert "part" not in dict(known)
    assert list(place.iterdir()) == []


def test_the_ceiling_of_all_jobs_takes_one(place: Path) -> None:
    made, known = make(place, [], "pids:9", kept=True)
    assert made
    assert dict(known)["part"] == f"2 {place}".encode()
    assert dict(known)["countsProcesses"] == b"yes"
    assert [path.name for path in place.iterdir()] == ["job"]
    assert (place / "job").stat().st_mode & 0o777 == 0o700


def test_it_is_removed(place: Path) -> None:
    made, _ = make(place, [], "pids:9")
    assert made
    assert list(place.iterdir()) == []


def test_what_cannot_be_set_is_told_and_nothing_is_left(place: Path) -> None:
    made, known = make(place, [("pids", b"9")])
    assert not made
    assert dict(known)["stage"] == b"setup (pids.max)"
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("limit", ["memory", "cpus"])
def test_a_limit_that_has_no_place_is_told(place: Path, limit: str) -> None:
    made, known = make(place, [(limit, b"1")])
    assert not made
    assert dict(known)["stage"] == f"setup ({limit} has no cgroup)".encode()
    assert list(place.iterdir()) == []


def test_a_place_that_is_gone_is_left_out(place: Path) -> None:
    place.rmdir()
    assert make(place, [])[0]
    made, known = make(place, [("memory", b"1000000")], limit="memory:2")
    assert not made
    assert dict(known)["stage"] == b"setup (memory has no cgroup)"


def test_one_of_that_name_is_told(place: Path) -> None:
    make(place, [], "pids:9", kept=True)
    made, known = make(place, [], "pids:9")
    assert not made
    assert dict(known)["stage"] == f"setup ({place})".encode()
