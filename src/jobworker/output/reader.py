"""How output is read, wherever it is kept: by the offsets of its bytes."""

from __future__ import annotations

from typing import Protocol

from jobworker.model import Piece, Stream

Span = tuple[int, int]
"""Offsets ``[start, end)`` in a stream."""


class OutputReader(Protocol):
    """Reads what a job has written, wherever it is kept now.

    Each byte has an offset: how many the job wrote to that stream before it, kept or not.
    The offsets of bytes that are not kept are gaps. A reader may be for what there was when
    it was made: another one sees what has come since.
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
        """Let go of what it holds open."""
        ...


class NoOutput:
    """The output of a job that never had any (``OutputReader``)."""

    def size(self, stream: Stream) -> int:  # noqa: ARG002 - the port's signature
        """Nothing."""
        return 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:  # noqa: ARG002 - same
        """Nothing."""
        return ()

    def read(self, stream: Stream, offset: int, length: int) -> Piece:  # noqa: ARG002 - same
        """Nothing."""
        return Piece(offset, b"")

    def close(self) -> None:
        """Nothing is held open."""
