"""The ballast: made where there is plenty, given up slice by slice."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from jobworker.ballast import SIZE, Ballast
from jobworker.errors import StorageFull, StorageUnavailable

MIB = 1024 * 1024


def place(free: int, size: int = 1 << 40) -> os.statvfs_result:
    return os.statvfs_result((1, 1, size, free, free, 0, 0, 0, 0, 255))


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: place(1 << 40))


@pytest.mark.usefixtures("plenty")
def test_it_takes_room_and_gives_it_up_in_slices(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    assert ballast.held == 0
    assert not ballast.give()
    ballast.fill()
    assert ballast.held == SIZE
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= SIZE
    given = 0
    while ballast.give():
        given += 1
        assert ballast.held == SIZE - given * MIB
    assert given == 16
    ballast.fill()
    assert ballast.held == SIZE


@pytest.mark.usefixtures("plenty")
def test_what_happens_anyway_leaves_half_of_it_to_what_makes_room(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    ballast.fill()
    while ballast.give(down_to=0.5):
        continue
    assert ballast.held == SIZE // 2
    assert ballast.give()


def test_it_does_not_fill_a_disk_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor takes more than a sixteenth of a small one."""
    monkeypatch.setattr(os, "statvfs", lambda _: place(63 * MIB, 1 << 40))
    ballast = Ballast(tmp_path)
    ballast.fill()
    assert ballast.held == 0
    monkeypatch.setattr(os, "statvfs", lambda _: place(16 * MIB, 16 * MIB))
    ballast = Ballast(tmp_path)
    ballast.fill()
    assert ballast.held == MIB


@pytest.mark.usefixtures("plenty")
def test_work_gets_as_many_slices_as_it_takes(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    ballast.fill()
    errors = [StorageFull(), OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "full")]

    def work() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert ballast.relieve(work) == "done"
    assert ballast.held == SIZE - 3 * MIB


@pytest.mark.usefixtures("plenty")
@pytest.mark.parametrize(
    ("error", "left"),
    [
        (StorageFull(), 0),
        (OSError(errno.EIO, "broken"), SIZE),
        (StorageUnavailable(), SIZE),
    ],
)
def test_work_that_fails_for_good_fails(tmp_path: Path, error: Exception, left: int) -> None:
    ballast = Ballast(tmp_path)
    ballast.fill()

    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        ballast.relieve(work)
    assert ballast.held == left
