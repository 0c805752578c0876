"""What a reader of the spool makes of a directory that changes while it looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.model import Piece, Stream
from jobworker.spool import output as spool_output
from jobworker.spool.output import SpoolOutput
from jobworker.supervisor import records


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    for name in ("stdout", "stdout.10", "stdout.20"):
        (tmp_path / name).write_bytes(b"0123456789")
    fd = records.open_directory(str(tmp_path))
    yield fd
    os.close(fd)


class Listings:
    """``os`` with listings that show what was there at different moments."""

    def __init__(self, *listings: list[str]) -> None:
        self._listings = iter(listings)

    def listdir(self, _: int) -> list[str]:
        return next(self._listings)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def test_a_file_that_a_listing_missed_between_two_others_is_no_gap(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made while the directory was read: readdir(3) may show it or not."""
    listings = Listings(["stdout", "stdout.20"], ["stdout.20", "stdout", "stdout.10", "stdout.30"])
    monkeypatch.setattr(spool_output, "os", listings)
    reader = SpoolOutput(directory)
    assert reader.read(Stream.STDOUT, 0, 100) == Piece(0, b"0123456789" * 3)
    reader.close()


def test_a_file_that_came_between_two_listings_is_for_the_next_reader(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second listing, too, may have missed one before it."""
    listings = Listings(["stdout", "stdout.10"], ["stdout", "stdout.10", "stdout.20"])
    monkeypatch.setattr(spool_output, "os", listings)
    reader = SpoolOutput(directory)
    assert reader.spans(Stream.STDOUT) == ((0, 20),)
    reader.close()


def test_a_file_that_goes_before_it_is_opened_is_a_gap(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ["stdout", "stdout.10", "stdout.20"]
    (tmp_path / "stdout.10").unlink()
    monkeypatch.setattr(spool_output, "os", Listings(every, every))
    reader = SpoolOutput(directory)
    assert reader.spans(Stream.STDOUT) == ((0, 10), (20, 30))
    reader.close()


def test_what_is_open_stays_readable(directory: int, tmp_path: Path) -> None:
    reader = SpoolOutput(directory)
    for path in tmp_path.iterdir():
        path.unlink()
    assert reader.read(Stream.STDOUT, 5, 100) == Piece(5, b"5678901234567890123456789")
    reader.close()


def test_the_last_file_grows_under_a_reader(directory: int, tmp_path: Path) -> None:
    reader = SpoolOutput(directory)
    with (tmp_path / "stdout.20").open("ab") as file:
        file.write(b"more")
    assert reader.size(Stream.STDOUT) == 34
    assert reader.read(Stream.STDOUT, 28, 100) == Piece(28, b"89more")
    reader.close()
