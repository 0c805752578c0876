"""The output store: each stream of a finished job in chunks.

A chunk begins where the one before it ends, or after a gap. An output too large to be written in
one go is written ahead of the job's end, some chunks a transaction, so that other writes
get their turn; no reader sees it before the end is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from jobworker.archive.database import Database
from jobworker.archive.tables import jobs, output_chunks
from jobworker.model import Piece, Stream
from jobworker.output import spans
from jobworker.output.reader import OutputReader, Span

CHUNK = 256 * 1024
"""The most bytes of a chunk: as many as a reader takes at once, so that none is read twice."""

_LONGEST = 512 * 1024
"""The most bytes of a chunk that any version has written."""

_INSERT = insert(output_chunks)
_DELETE = delete(output_chunks).where(output_chunks.c.number == bindparam("job"))
_THIS = (
    output_chunks.c.number == bindparam("job"),
    output_chunks.c.stream == bindparam("stream"),
)
_END = output_chunks.c.offset + func.length(output_chunks.c.data)
_LAST = select(_END).where(*_THIS).order_by(output_chunks.c.offset.desc()).limit(1)
_SPANS = select(output_chunks.c.offset, _END).where(*_THIS).order_by(output_chunks.c.offset)
STORED = (
    select(func.coalesce(func.sum(func.length(output_chunks.c.data)), 0))
    .join_from(jobs, output_chunks, jobs.c.number == output_chunks.c.number)
    .where(jobs.c.owner == bindparam("owner"), jobs.c.finished_at.is_not(None))
)
"""Bytes of all finished jobs of an owner; SQLite reads no blob for its length."""

_OVERLAPPING = (
    select(output_chunks.c.offset, output_chunks.c.data)
    .where(
        *_THIS,
        output_chunks.c.offset > bindparam("offset") - _LONGEST,
        output_chunks.c.offset < bindparam("end"),
        bindparam("offset") < _END,
    )
    .order_by(output_chunks.c.offset)
)
_NEXT = (
    select(output_chunks.c.offset)
    .where(*_THIS, output_chunks.c.offset > bindparam("after"))
    .order_by(output_chunks.c.offset)
    .limit(1)
)

Chunk = tuple[Stream, int, bytes]
"""A stream, the offset of the first byte in it, and the bytes."""


def chunks_of(output: OutputReader) -> Iterator[Chunk]:
    """The chunks of ``output``, one at a time; reading them blocks on the disk."""
    for stream in Stream:
        offset = 0
        while (piece := output.read(stream, offset, CHUNK)).data:
            yield stream, piece.offset, piece.data
            offset = piece.end


def store(connection: Connection, number: int, chunks: list[Chunk]) -> None:
    """Adds ``chunks`` to the output of job ``number``."""
    rows = [
        {"number": number, "stream": stream.value, "offset": offset, "data": data}
        for stream, offset, data in chunks
    ]
    if rows:
        connection.execute(_INSERT, rows)


def clear(connection: Connection, number: int) -> None:
    """Deletes the stored output of job ``number``."""
    connection.execute(_DELETE, {"job": number})


class StoredOutput:
    """A reader of job ``number``'s output, from any thread (``output.reader.OutputReader``)."""

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = number

    def size(self, stream: Stream) -> int:
        """The offset after the last byte that is kept."""
        key = self._key(stream)
        return self._database.read(lambda connection: connection.scalar(_LAST, key)) or 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The spans that are kept, in order."""
        key = self._key(stream)
        rows = self._database.read(lambda connection: connection.execute(_SPANS, key).all())
        return spans.joined((start, end) for start, end in rows)

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it; fewer only before a gap or the end."""
        piece = self._read_at(stream, offset, length)
        if piece.data or not length:
            return piece
        key = self._key(stream) | {"after": offset}
        following = self._database.read(lambda connection: connection.scalar(_NEXT, key))
        return piece if following is None else self._read_at(stream, following, length)

    def _read_at(self, stream: Stream, offset: int, length: int) -> Piece:
        """The bytes at ``offset``; none where it lies in a gap."""
        wanted = self._key(stream) | {"offset": offset, "end": offset + length}
        rows = self._database.read(
            lambda connection: connection.execute(_OVERLAPPING, wanted).all()
        )
        parts, at = [], offset
        for row in rows:
            if row.offset > at:
                break
            parts.append(row.data[at - row.offset :])
            at = row.offset + len(row.data)
        return Piece(offset, b"".join(parts)[:length])

    def _key(self, stream: Stream) -> dict[str, int]:
        return {"job": self._number, "stream": stream.value}

    def close(self) -> None:
        """Does nothing, as nothing is held open between two reads."""
