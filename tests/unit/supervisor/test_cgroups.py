"""The cgroup of a job as an object; what the kernel makes of it is tested in ``tests/limits``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.model import JobId
from jobworker.supervisor.cgroups import JobCgroup
from jobworker.supervisor.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory that looks like one of cgroup v2 from outside."""
    place = Place(2, str(tmp_path), ["cpus", "pids"])
    yield place
    place.close()


def test_the_repr_shows_where_it_was_made(place: Place, tmp_path: Path) -> None:
    name = JobId.new()
    group = JobCgroup([place], {"pids": b"9"}, name)
    assert repr(group) == f"<JobCgroup {name}: not made>"
    group.make({})  # the ceiling of all jobs takes one
    assert repr(group) == f"<JobCgroup {name}: v2 cpus+pids>"
    assert (tmp_path / name).is_dir()
    group.remove()
    assert repr(group) == f"<JobCgroup {name}: not made>"
    assert not (tmp_path / name).exists()


def test_without_limits_there_is_none(place: Place, tmp_path: Path) -> None:
    group = JobCgroup([place], {}, JobId.new())
    group.make({})
    assert repr(group).endswith(": not made>")
    assert list(tmp_path.iterdir()) == []
    group.remove()
