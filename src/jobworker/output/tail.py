"""The search for the beginning of the last lines of a job's output.

Whatever the output is like, memory is bounded: it holds positions some way apart, and
one frame. Line ends are counted from the end backwards, a stretch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jobworker.model import End, Stream
from jobworker.output.frames import BOTH, FrameReader, ReadPosition, Selection
from jobworker.output.reader import OutputReader

STRETCH = 256 * 1024
"""Bytes that are looked through at once, at least."""

_MOST_STRETCHES = 1024


def start_of(lines: int, streams: tuple[Stream, ...], reader: OutputReader, end: End | None) -> int:
    """The number of the last byte before the last ``lines`` lines of ``streams`` taken together.

    A line that has not ended yet counts as one. The call may block on the disk.
    """
    whole = sum(map(reader.size, BOTH))
    marks = FrameReader().index(reader, end, max(STRETCH, whole // _MOST_STRETCHES))
    if not lines:
        return marks[-1].seq
    stretches = [_Stretch(reader, end, streams, first, last.seq) for first, last in pairwise(marks)]
    wanted = lines
    at_the_end = True
    for stretch in reversed(stretches):
        count, last_byte = stretch.count()
        if at_the_end and last_byte:
            # The end of the last line, where it has one, is not where another begins.
            wanted += last_byte == b"\n"
            at_the_end = False
        if count >= wanted:
            return stretch.place_of(count - wanted)
        wanted -= count
    return 0


class _Stretch:
    """The output of ``streams`` from a position to the byte with the number ``stop``."""

    def __init__(
        self,
        reader: OutputReader,
        end: End | None,
        streams: tuple[Stream, ...],
        begin: ReadPosition,
        stop: int,
    ) -> None:
        self._reader = reader
        self._end = end
        self._wanted = Selection(streams=streams)
        self._begin = begin
        self._stop = stop

    def count(self) -> tuple[int, bytes]:
        """The number of line ends, and the last byte; empty where there is none."""
        count, last = 0, b""
        for _, data in self._pieces():
            count += data.count(b"\n")
            last = data[-1:]
        return count, last

    def place_of(self, number: int) -> int:
        """The number of the byte that is the line end of that number, counted from 0."""
        for first, data in self._pieces():
            here = data.count(b"\n")
            if number < here:
                at = -1
                for _ in range(number + 1):
                    at = data.index(b"\n", at + 1)
                return first + at + 1
            number -= here
        raise AssertionError("fewer line ends than were counted")

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        """The bytes, and the number of those of both streams before them."""
        replay = FrameReader(self._wanted, self._begin.copy())
        while replay.position.seq < self._stop:
            frames = replay.read(self._reader, self._end, STRETCH)
            for frame in frames:
                first = frame.seq - len(frame.data)
                if frame.data and first < self._stop:
                    yield first, frame.data[: self._stop - first]
            if not frames:
                return
