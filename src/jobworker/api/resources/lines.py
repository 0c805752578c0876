"""A job's output by lines, as one JSON document that is written while it is read.

Of lines as Python has them, a stream of empty ones would take twenty times its bytes. So each
chunk of output becomes a chunk of the document at once, and neither is ever whole in memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator

import msgspec

from jobworker.api.service import StreamBroken
from jobworker.api.views import LineGapView, line_gap_view
from jobworker.model import End, JobId, Stream
from jobworker.output import spans
from jobworker.output.frames import BOTH
from jobworker.output.reader import OutputReader, Span

MOST = 8 * 1024 * 1024
"""Most bytes of both streams that are answered by lines: the last ones."""

LONG_LINE = 64 * 1024
"""Most bytes that are left out beside, so that what is answered begins with a whole line."""

BLOCK = 64 * 1024
"""Most bytes that are rendered at once: as Python has them, they take twenty times as much."""

_DECODER = codecs.getincrementaldecoder("utf-8")


class Lines:
    """The lines of both streams, as far as ``reader`` shows them and they are answered.

    ``chunk`` gives the most bytes to render at once. Making it and rendering may block on the
    disk.
    """

    def __init__(
        self, job_id: JobId, reader: OutputReader, end: End | None, chunk: Callable[[], int]
    ) -> None:
        self._job_id = job_id
        self._reader = reader
        self._end = end
        self._chunk = chunk
        whole = {stream: reader.spans(stream) for stream in BOTH}
        self._parts = last_parts(reader, whole)
        self._left_out = {stream: self._parts[stream] != whole[stream] for stream in BOTH}

    def __repr__(self) -> str:
        return f"<Lines of {self._job_id}: {self.size} bytes>"

    @property
    def size(self) -> int:
        """The number of bytes of output that are answered."""
        return sum(map(spans.length, self._parts.values()))

    def render(self) -> Iterator[bytes]:
        """The document, a piece at a time; raises ``StreamBroken`` where the output goes."""
        views: list[LineGapView] = []
        yield b'{"id":"%b"' % self._job_id.encode("ascii")
        for stream in BOTH:
            yield b',"%b":[' % stream.file_name.encode("ascii")
            yield from self._stream(stream, views)
            yield b"]"
        yield b',"error":null'
        if views:
            yield b',"gaps":' + msgspec.json.encode(views)
        yield b"}"

    def _stream(self, stream: Stream, views: list[LineGapView]) -> Iterator[bytes]:
        """The lines of a stream, each side of a gap for itself; notes the gaps."""
        writer = LineWriter()
        parts = self._parts[stream]
        gaps = iter(spans.between(stream, parts, self._end))
        left_out = self._left_out[stream]
        at = 0
        for start, end in parts:
            if start > at:
                views.append(line_gap_view(next(gaps), writer.count, left_out=left_out))
                left_out = False
            for data in self._data(stream, start, end):
                yield writer.write(data)
            yield writer.close()
            at = end
        views += [line_gap_view(gap, writer.count, left_out=left_out) for gap in gaps]

    def _data(self, stream: Stream, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            room = min(self._chunk(), BLOCK, end - start)
            piece = self._reader.read(stream, start, room)
            if piece.offset != start or not piece.data:
                raise StreamBroken("the output was removed while it was read")
            yield piece.data
            start = piece.end


class LineWriter:
    """Writes bytes as strings of a JSON list, one a line, without line ends.

    What is not UTF-8 becomes U+FFFD. ``count`` is the number of lines so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._decoder = _DECODER("replace")
        self._in_line = False

    def __repr__(self) -> str:
        where = "in" if self._in_line else "before"
        return f"<LineWriter {where} line {self.count}>"

    def write(self, data: bytes, *, final: bool = False) -> bytes:
        """The JSON of some more bytes: the last string stays open where the line does."""
        text = self._decoder.decode(data, final)
        if not text:
            return b""
        before = b"" if self._in_line else b',"' if self.count else b'"'
        lines = text.split("\n")
        self._in_line = bool(lines[-1])
        if not self._in_line:
            lines.pop()
        self.count += len(lines) - (before == b"")
        # Without the brackets and the first and the last quote.
        inner = msgspec.json.encode(lines)[2:-2]
        return before + inner + (b"" if self._in_line else b'"')

    def close(self) -> bytes:
        """The JSON of what is left; a line that has no end counts as one."""
        rest = self.write(b"", final=True)
        if self._in_line:
            self._in_line = False
            rest += b'"'
        self._decoder.reset()
        return rest


def last_parts(
    reader: OutputReader, whole: dict[Stream, tuple[Span, ...]]
) -> dict[Stream, tuple[Span, ...]]:
    """The parts of both streams that are answered: the last ``MOST`` bytes, from a line on.

    Where one stream is short, the other one has what is left.
    """
    sizes = {stream: spans.length(parts) for stream, parts in whole.items()}
    if sum(sizes.values()) <= MOST:
        return whole
    rooms = {
        stream: max(MOST // 2, MOST - sum(sizes.values()) + size) for stream, size in sizes.items()
    }
    return {
        stream: _last(reader, stream, parts, rooms[stream])
        if sizes[stream] > rooms[stream]
        else parts
        for stream, parts in whole.items()
    }


def _last(
    reader: OutputReader, stream: Stream, whole: Iterable[Span], room: int
) -> tuple[Span, ...]:
    """The last ``room`` bytes of a stream, but for the rest of the line that they begin in."""
    whole = tuple(whole)
    size = spans.length(whole)
    (start, end), *others = spans.part(whole, size - room, size)
    piece = reader.read(stream, start, min(LONG_LINE, end - start))
    line_end = piece.data.find(b"\n")
    return spans.joined([(start + line_end + 1, end), *others])
