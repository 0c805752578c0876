"""The kept parts of a stream, as spans: offsets ``[start, end)`` in order, with gaps between.

Two spans that touch are one, so between two there is always a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from jobworker.model import End, Gap, Stream
from jobworker.output.reader import OutputReader, Span


def joined(parts: Iterable[Span]) -> tuple[Span, ...]:
    """The spans of ``parts``, which are in order and do not overlap; empty spans are skipped."""
    spans: list[Span] = []
    for start, end in parts:
        if start == end:
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)


def length(spans: Iterable[Span]) -> int:
    """The number of bytes that are kept."""
    return sum(end - start for start, end in spans)


def between(stream: Stream, spans: Iterable[Span], end: End | None = None) -> tuple[Gap, ...]:
    """The gaps of a stream; one after the last kept byte is known only from ``end``."""
    gaps = []
    at = 0
    for start, stop in spans:
        if start > at:
            gaps.append(Gap(stream, at, start))
        at = stop
    whole = max((gap.end for gap in end.gaps if gap.stream is stream), default=0) if end else 0
    if whole > at:
        gaps.append(Gap(stream, at, whole))
    return tuple(gaps)


def part(spans: Iterable[Span], first: int, end: int) -> Iterator[Span]:
    """The offsets of the kept bytes from number ``first`` to before number ``end``."""
    before = 0
    for start, stop in spans:
        begin = start + max(0, first - before)
        finish = min(stop, start + end - before)
        if begin < finish:
            yield begin, finish
        before += stop - start


def chunks(
    reader: OutputReader, stream: Stream, spans: Iterable[Span], room: Callable[[], int]
) -> Iterator[bytes]:
    """The bytes at ``spans``, as many at once as there is ``room`` for; may block on disk.

    They end early where a byte is not there any more.
    """
    for start, end in spans:
        at = start
        while at < end:
            piece = reader.read(stream, at, min(room(), end - at))
            if piece.offset != at or not piece.data:
                return
            at += len(piece.data)
            yield piece.data
