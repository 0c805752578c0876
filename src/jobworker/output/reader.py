"""The protocol by which output is read, wherever it is kept: by the offsets of its bytes."""

from __future__ import annotations

from typing import Protocol

from jobworker.model import Piece, Stream

Span = tuple[int, int]
"""Offsets ``[start, end)`` in a stream."""


class OutputReader(Protocol):
    """A reader of what a job has written, wherever it is kept now.

    Each byte has an offset: the number of bytes that the job wrote to that stream before it,
    kept or not. The offsets of bytes that are not kept are gaps. A reader may show only the
    output of the time when it was made: another one sees what has come since.
    """

    def size(self, stream: Stream) -> int:
        """The offset after the last byte that is kept."""
        ...

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The spans that are kept, in order; between two of them there is a gap."""
        ...

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it, none at the end; may block on disk.

        They are ``length`` bytes, or fewer where a gap or the end comes first.
        """
        ...

    def close(self) -> None:
        """Releases what it holds open."""
        ...


class NoOutput:
    """The output of a job that never had any (``OutputReader``)."""

    def size(self, stream: Stream) -> int:  # noqa: ARG002 - the port's signature
        """Returns 0."""
        return 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:  # noqa: ARG002 - same
        """Returns no spans."""
        return ()

    def read(self, stream: Stream, offset: int, length: int) -> Piece:  # noqa: ARG002 - same
        """Returns an empty piece."""
        return Piece(offset, b"")

    def close(self) -> None:
        """Does nothing, as nothing is held open."""
