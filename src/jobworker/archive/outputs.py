"""The output store: each stream of a finished job in chunks.

A chunk begins where the one before it ends. An output too large to be written in
one go is written ahead of the job's end, a chunk a transaction, so that other writes
get their turn; nobody sees it before the end is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from jobworker.archive.database import Database
from jobworker.archive.tables import output_chunks
from jobworker.model import Stream
from jobworker.ports import OutputReader

CHUNK = 512 * 1024
"""Most bytes of a chunk; it may shrink, but not grow: readers rely on it."""

_INSERT = insert(output_chunks)
_DELETE = delete(output_chunks).where(output_chunks.c.number == bindparam("job"))
_LAST = (
    select(output_chunks.c.offset + func.length(output_chunks.c.data))
    .where(
        output_chunks.c.number == bindparam("job"), output_chunks.c.stream == bindparam("stream")
    )
    .order_by(output_chunks.c.offset.desc())
    .limit(1)
)
_OVERLAPPING = (
    select(output_chunks.c.offset, output_chunks.c.data)
    .where(
        output_chunks.c.number == bindparam("job"),
        output_chunks.c.stream == bindparam("stream"),
        output_chunks.c.offset > bindparam("after"),
        output_chunks.c.offset < bindparam("end"),
    )
    .order_by(output_chunks.c.offset)
)

Chunk = tuple[Stream, int, bytes]
"""A stream, the place of the first byte in it, and the bytes."""


def chunks_of(output: OutputReader) -> Iterator[Chunk]:
    """Cut ``output`` into chunks, one at a time. Blocks on the disk."""
    for stream in Stream:
        end = output.size(stream)
        offset = 0
        while offset < end and (data := output.read(stream, offset, CHUNK)):
            yield stream, offset, data
            offset += len(data)


def store(connection: Connection, number: int, chunks: list[Chunk]) -> None:
    """Add ``chunks`` to the output of job ``number``."""
    rows = [
        {"number": number, "stream": stream.value, "offset": offset, "data": data}
        for stream, offset, data in chunks
    ]
    if rows:
        connection.execute(_INSERT, rows)


def clear(connection: Connection, number: int) -> None:
    """Delete what is stored of the output of job ``number``."""
    connection.execute(_DELETE, {"job": number})


class StoredOutput:
    """Reads the output of job ``number``, from any thread (``ports.OutputReader``)."""

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self._number = number

    def size(self, stream: Stream) -> int:
        """How many bytes there are."""
        key = {"job": self._number, "stream": stream.value}
        return self._database.read(lambda connection: connection.scalar(_LAST, key)) or 0

    def read(self, stream: Stream, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end."""
        wanted = {
            "job": self._number,
            "stream": stream.value,
            "after": offset - CHUNK,
            "end": offset + length,
        }
        rows = self._database.read(
            lambda connection: connection.execute(_OVERLAPPING, wanted).all()
        )
        if not rows:
            return b""
        begin = offset - rows[0].offset
        return b"".join(row.data for row in rows)[begin : begin + length]

    def close(self) -> None:
        """Nothing is held open between two reads."""
