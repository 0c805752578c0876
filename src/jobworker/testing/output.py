"""Output that is kept in memory."""

from __future__ import annotations

from jobworker.model import (
    Gap,
    Piece,
    Stream,
)
from jobworker.output import spans
from jobworker.output.reader import Span

OUTPUTS = (Stream.STDOUT, Stream.STDERR)


class MemoryOutput:
    """Output in memory (``output.reader.OutputReader``)."""

    def __init__(self, streams: dict[Stream, bytes] | None = None) -> None:
        self._streams: dict[Stream, list[Piece]] = {stream: [] for stream in Stream}
        self._ends = dict.fromkeys(Stream, 0)
        for stream, data in (streams or {}).items():
            self.append(stream, data)

    def append(self, stream: Stream, data: bytes) -> None:
        """Adds ``data`` to the end of ``stream``."""
        if data:
            self._streams[stream].append(Piece(self._ends[stream], data))
            self._ends[stream] += len(data)

    def skip(self, stream: Stream, length: int) -> None:
        """Lets ``length`` bytes have been written to ``stream`` that are not kept."""
        self._ends[stream] += length

    def clear(self) -> None:
        """Deletes all that is kept."""
        self._streams = {stream: [] for stream in Stream}

    def end(self, stream: Stream) -> int:
        """The offset after the last byte that was written, kept or not."""
        return self._ends[stream]

    def size(self, stream: Stream) -> int:
        """The offset after the last byte that is kept."""
        pieces = self._streams[stream]
        return pieces[-1].end if pieces else 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The spans that are kept, in order."""
        return spans.joined((piece.offset, piece.end) for piece in self._streams[stream])

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it; fewer only before a gap or the end."""
        for start, end in self.spans(stream):
            if end > offset:
                begin = max(start, offset)
                kept = [piece for piece in self._streams[stream] if start <= piece.offset < end]
                data = b"".join(piece.data for piece in kept)
                return Piece(begin, data[begin - start :][:length])
        return Piece(offset, b"")

    def gaps(self, stream: Stream) -> tuple[Gap, ...]:
        """The gaps: ranges of bytes that were written and are not kept."""
        held = (*self.spans(stream), (self._ends[stream], self._ends[stream]))
        return spans.between(stream, held)

    def close(self) -> None:
        """Nothing is held open."""
