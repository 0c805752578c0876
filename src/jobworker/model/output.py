"""The output of a job: its streams, pieces of them, and the gaps in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Stream(Enum):
    """An output stream, or the index that tells in which order both came.

    The value is the stream's number in the index and in the archive.
    """

    INDEX = 0
    STDOUT = 1
    STDERR = 2

    @property
    def file_name(self) -> str:
        """The name of its file in the spool."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes ``[start, end)`` of a stream that the job wrote and that were not kept."""

    stream: Stream
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a stream, and the offset of the first: the number of bytes written before it."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Output:
    """All kept bytes of what a job has written so far, and the gaps between them."""

    stdout: bytes
    stderr: bytes
    gaps: tuple[Gap, ...] = ()
