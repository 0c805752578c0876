"""Both streams of a job in the order in which they came (docs/decisions/output-cap.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobworker.model import Stream
from jobworker.output.reader import OutputReader
from jobworker.supervisor.records import INDEX_ENTRY, PLACE

_READ = 16 * 1024


@dataclass(frozen=True)
class Came:
    """Bytes of a stream that came at once; None stands for ``length`` that were not kept."""

    stream: Stream
    place: int
    length: int
    data: bytes | None


def replay(reader: OutputReader) -> Iterator[Came]:
    """What came, gaps included, each byte once."""
    at = {Stream.STDOUT: 0, Stream.STDERR: 0}
    for first, number, length in index_entries(reader):
        stream = Stream(number & ~PLACE)
        end = first if number & PLACE else at[stream] + length
        yield from _until(reader, stream, at[stream], end)
        at[stream] = end
    for stream, place in at.items():  # what came last may lack its entry
        yield from _until(reader, stream, place, reader.size(stream))


def index_entries(reader: OutputReader) -> Iterator[tuple[int, int, int]]:
    offset = 0
    while (piece := reader.read(Stream.INDEX, offset, _READ)).data:
        yield from INDEX_ENTRY.iter_unpack(piece.data)
        offset = piece.end


def _until(reader: OutputReader, stream: Stream, at: int, end: int) -> Iterator[Came]:
    while at < end:
        piece = reader.read(stream, at, end - at)
        begin = min(piece.offset, end) if piece.data else end
        if begin > at:
            yield Came(stream, at, begin - at, None)
        if begin < end:
            data = piece.data[: end - begin]
            yield Came(stream, begin, len(data), data)
            begin += len(data)
        at = begin
