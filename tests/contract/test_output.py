"""What every reader of output must do, in the spool, in the archive and in memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from jobworker.archive import outputs, sqlite, upgrade
from jobworker.archive.database import Database
from jobworker.archive.outputs import CHUNK
from jobworker.archive.sql import SqlArchive
from jobworker.jobs.lifecycle import final_status
from jobworker.model import (
    Cause,
    End,
    Gap,
    Job,
    JobId,
    Output,
    Piece,
    Spec,
    Starting,
    Stream,
    Terms,
)
from jobworker.output.reader import OutputReader, Span
from jobworker.output.spans import between, chunks, length, part
from jobworker.spool.output import SpoolOutput
from jobworker.supervisor import records
from jobworker.testing import MemoryArchive, MemoryOutput

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG_CHUNKS = "sql archive of an earlier version, with longer chunks"
KINDS = ["memory", "memory archive", "spool", "sql archive", LONG_CHUNKS]
LAYOUTS: dict[str, list[Span]] = {
    "nothing": [],
    "all": [(0, 10)],
    "not the first": [(5, 12)],
    "two parts that touch": [(0, 4), (4, 9)],
    "a gap": [(0, 3), (7, 12)],
    "gaps and parts": [(2, 3), (3, 5), (9, 10), (20, 26), (26, 30)],
    "far out": [(1 << 40, (1 << 40) + 5)],
    "large": [(0, CHUNK + 5), (CHUNK + 5, CHUNK + 9), (3 * CHUNK, 5 * CHUNK - 1)],
}


def byte_at(place: int) -> int:
    return place * 7 % 251


def bytes_at(start: int, end: int) -> bytes:
    return bytes(byte_at(place) for place in range(start, end))


def in_memory(layout: list[Span]) -> MemoryOutput:
    output = MemoryOutput()
    for start, end in layout:
        output.skip(Stream.STDERR, start - output.end(Stream.STDERR))
        output.append(Stream.STDERR, bytes_at(start, end))
    return output


def in_files(layout: list[Span], directory: Path) -> SpoolOutput:
    for number, (start, end) in enumerate(layout):
        name = "stderr" if number == start == 0 else f"stderr.{start}"
        (directory / name).write_bytes(bytes_at(start, end))
    (directory / "record").touch()
    for place in {layout[-1][1], layout[0][1]} if layout else {5}:
        # Made, and nothing could be written to it.
        name = f"stderr.{place}"
        (directory / name).touch()
    (directory / "tmp").mkdir()
    fd = records.open_directory(str(directory))
    try:
        return SpoolOutput(fd)
    finally:
        os.close(fd)


async def in_archive(archive: MemoryArchive | SqlArchive, output: OutputReader) -> OutputReader:
    job = Job(JobId.new(), "alice", Spec("/bin/true"), Terms(), Starting(), NOW, "basic", "here")
    await archive.add(job)
    end = End(Cause.EXITED, NOW, exit_code=0)
    await archive.finish(replace(job, status=final_status(end)), output)
    return archive.output(job.id)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "jobd.db"
    sqlite.create(path, upgrade.migrate)
    return path


@pytest.fixture(params=[(kind, name) for kind in KINDS for name in LAYOUTS], ids="-".join)
async def stored(
    request: pytest.FixtureRequest,
    empty_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[OutputReader, list[Span]]]:
    kind, name = request.param
    layout = LAYOUTS[name]
    archive: MemoryArchive | SqlArchive = MemoryArchive()
    database: Database | None = None
    if kind == LONG_CHUNKS:
        monkeypatch.setattr(outputs, "CHUNK", outputs._LONGEST)
    if kind in ("sql archive", LONG_CHUNKS):
        shutil.copy(empty_database, tmp_path / "jobd.db")
        database = Database.open(tmp_path / "jobd.db")
        archive = SqlArchive(database)
    (tmp_path / "spool").mkdir()
    if kind == "memory":
        reader: OutputReader = in_memory(layout)
    elif kind == "memory archive":
        reader = await in_archive(archive, in_memory(layout))
    elif kind == "spool":
        reader = in_files(layout, tmp_path / "spool")
    else:
        with closing(in_files(layout, tmp_path / "spool")) as files:
            reader = await in_archive(archive, files)
    with closing(reader):
        yield reader, layout
    if database:
        await database.close()


Stored = tuple[OutputReader, list[Span]]


def test_size_and_spans(stored: Stored) -> None:
    reader, layout = stored
    assert reader.size(Stream.STDERR) == (layout[-1][1] if layout else 0)
    spans = reader.spans(Stream.STDERR)
    assert length(spans) == sum(end - start for start, end in layout)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert reader.spans(Stream.STDOUT) == ()
    assert reader.size(Stream.STDOUT) == 0
    assert reader.read(Stream.STDOUT, 3, 5) == Piece(3, b"")


def test_what_is_read_begins_at_the_first_kept_byte_and_ends_at_a_gap(stored: Stored) -> None:
    reader, _ = stored
    spans = reader.spans(Stream.STDERR)
    edges = {edge + near for span in spans for edge in span for near in (-1, 0, 1)}
    for offset in sorted({0, *edges} - {-1}):
        for wanted in (1, 2, 7, CHUNK, 2 * CHUNK + 1):
            piece = reader.read(Stream.STDERR, offset, wanted)
            later = [span for span in spans if span[1] > offset]
            if not later:
                assert piece == Piece(offset, b"")
                continue
            start, end = max(offset, later[0][0]), later[0][1]
            assert piece == Piece(start, bytes_at(start, min(end, start + wanted)))


def test_the_kept_bytes_by_their_numbers(stored: Stored) -> None:
    reader, layout = stored
    kept = b"".join(bytes_at(start, end) for start, end in layout)
    spans = reader.spans(Stream.STDERR)
    middle = len(kept) // 2
    for first, end in ((0, len(kept)), (1, len(kept) - 1), (middle, middle + 1), (0, 0)):
        got = b"".join(chunks(reader, Stream.STDERR, part(spans, first, end), lambda: 1000))
        assert got == kept[first : max(first, end)]


def test_gaps_are_what_lies_between(stored: Stored) -> None:
    reader, _ = stored
    spans = reader.spans(Stream.STDERR)
    size = reader.size(Stream.STDERR)
    end = End(Cause.EXITED, NOW, gaps=(Gap(Stream.STDERR, size, size + 9),))
    gaps = between(Stream.STDERR, spans, end)
    assert gaps[-1].end == size + 9
    assert sum(gap.end - gap.start for gap in gaps) + length(spans) == size + 9
    without = between(Stream.STDERR, spans)
    assert sum(gap.end - gap.start for gap in without) + length(spans) == size


def test_an_output_has_no_gaps_unless_it_says_so() -> None:
    assert Output(b"", b"").gaps == ()
