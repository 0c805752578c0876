"""The output of a job as frames: both streams in the order in which they came.

A frame's sequence number counts bytes: those of both streams up to the frame's end,
kept or not. The order of two bytes never changes once the index tells it, so a number
means the same byte for ever, however the bytes were cut into frames, and wherever they
are kept by now (``docs/decisions/output-frames.md``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from jobworker.model import End, Stream, nanoseconds
from jobworker.output.reader import OutputReader
from jobworker.supervisor.records import INDEX_ENTRY, PLACE

MOST = 64 * 1024
"""The most bytes of a frame: as many as a pipe holds, as a rule."""

MERGED = 10_000_000
"""Nanoseconds within which writes to one stream share a frame, which has the time of the
first: for a program that writes single bytes frames would be a hundred times its output."""

FRAME_COST = 256
"""Bytes that a frame takes beside its data, in memory and on the wire, roughly: of a job that
writes single bytes to both streams in turn a batch must not have as many frames as bytes."""

_BLOCK = 256 * INDEX_ENTRY.size
_BLOCK_TO_SKIP = 4096 * INDEX_ENTRY.size
_EVERYTHING = 1 << 63
BOTH = (Stream.STDOUT, Stream.STDERR)


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes that a job wrote to one stream, or the number of those that were not kept.

    ``time`` is in nanoseconds since 1970.
    """

    seq: int
    time: int
    stream: Stream
    data: bytes
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """The frames that are wanted; times in nanoseconds since 1970.

    They are those after the byte with the number ``after``, from ``since`` on and before
    ``until``, of ``streams``.
    """

    after: int = 0
    since: int = 0
    until: int | None = None
    streams: tuple[Stream, ...] = BOTH


_Entry = tuple[int, int, int]
"""Time or offset, stream, length: as the index has it."""


@dataclass(slots=True)
class ReadPosition:
    """The point that a reader has come to.

    ``index`` is the offset of an entry of the index, ``passed`` the number of bytes passed
    since that entry began. The last entry may grow, so it is left behind only for a later
    one. ``at`` is the offset in each stream of the next byte.
    """

    index: int = 0
    passed: int = 0
    time: int = 0
    at: dict[Stream, int] = field(default_factory=lambda: dict.fromkeys(BOTH, 0))

    @property
    def seq(self) -> int:
        """The number of the last byte that was passed."""
        return self.at[Stream.STDOUT] + self.at[Stream.STDERR]

    def copy(self) -> ReadPosition:
        """A copy, to go on from here."""
        return replace(self, at=dict(self.at))


class FrameReader:
    """A reader of frames, one after another, from readers that each show what there is then."""

    def __init__(
        self, selection: Selection | None = None, position: ReadPosition | None = None
    ) -> None:
        self._wanted = selection or Selection()
        self._skip_to = self._wanted.after
        self._largest = MOST
        self._marks: list[ReadPosition] = []
        self._apart = _EVERYTHING
        self.position = position or ReadPosition()
        self.exhausted = False
        """Whether the last ``read`` came to the end of what there was."""

    def __repr__(self) -> str:
        where = "exhausted" if self.exhausted else "more to read"
        return f"<FrameReader at {self.position.seq}, {where}>"

    def read(
        self, reader: OutputReader, end: End | None, most: int, largest: int = MOST
    ) -> list[Frame]:
        """The next frames, of some ``most`` bytes; none where there are no more for now.

        None of them has more than ``largest`` bytes, nor than ``MOST``.
        ``end`` is the job's end: only with it are bytes told that the index lacks, or that
        are missing at the very end. It must have been known before ``reader`` was made. The
        call may block on the disk.
        """
        found: list[Frame] = []
        self.exhausted = False
        self._largest = min(MOST, largest)
        for frame in self._frames(reader, end):
            found.append(frame)
            most -= len(frame.data) + FRAME_COST
            if most <= 0:
                return found
        self.exhausted = True
        return found

    def index(self, reader: OutputReader, end: End | None, apart: int) -> list[ReadPosition]:
        """Goes to the end of the output, without reading it; returns the positions on the way.

        The first is where this reader was, the last where it is now, and those between are
        some ``apart`` bytes apart.
        """
        self._skip_to, self._apart = _EVERYTHING, apart
        self._marks = [self.position.copy()]
        for _ in self._frames(reader, end):
            raise AssertionError("what is to be skipped was read")
        return [*self._marks, self.position.copy()]

    def _frames(self, reader: OutputReader, end: End | None) -> Iterator[Frame]:
        moved = True
        while moved and (data := self._index_data(reader)):
            before = (self.position.index, self.position.passed, self.position.seq)
            if self._skips:
                data = self._leap(data)
            for stream, limit, certain in self._runs([*INDEX_ENTRY.iter_unpack(data)]):
                yield from self._until(reader, stream, limit, certain=certain or end is not None)
                if self.position.at[stream] < limit:
                    return
                self._mark()
            moved = (self.position.index, self.position.passed, self.position.seq) != before
        if end is not None:
            yield from self._rest(reader, end)

    @property
    def _skips(self) -> bool:
        return self.position.seq < self._skip_to

    def _mark(self) -> None:
        if self._marks and self.position.seq - self._marks[-1].seq >= self._apart:
            self._marks.append(self.position.copy())

    def _index_data(self, reader: OutputReader) -> bytes:
        """The entries of the index from the present one on, or from the first that is kept."""
        position = self.position
        block = _BLOCK_TO_SKIP if self._skips else _BLOCK
        piece = reader.read(Stream.INDEX, position.index, block)
        if piece.offset == position.index and len(piece.data) == INDEX_ENTRY.size:
            _, _, length = INDEX_ENTRY.unpack(piece.data)
            if position.passed >= length:  # it is left for the next one, beyond a gap as well
                further = reader.read(Stream.INDEX, piece.end, block)
                piece = further if further.data else piece
        if piece.data and piece.offset != position.index:
            position.index, position.passed = piece.offset, 0
        return piece.data[: len(piece.data) - len(piece.data) % INDEX_ENTRY.size]

    def _leap(self, data: bytes) -> bytes:
        """Passes all of these entries but the last at once, where all are to be skipped.

        Returns those that are left. An index can have millions of entries.
        """
        words = memoryview(data).cast("I")
        kinds, lengths = words[2:-4:4].tolist(), words[3:-4:4].tolist()
        total = sum(lengths)
        plain = kinds and self.position.passed == 0 and max(kinds) < PLACE
        if not plain or total > min(self._skip_to - self.position.seq, self._apart):
            return data
        stderr = Stream.STDERR.value
        errors = sum(length for kind, length in zip(kinds, lengths, strict=True) if kind == stderr)
        self.position.at[Stream.STDERR] += errors
        self.position.at[Stream.STDOUT] += total - errors
        self.position.index += len(data) - INDEX_ENTRY.size
        self._mark()
        return data[-INDEX_ENTRY.size :]

    def _runs(self, entries: list[_Entry]) -> Iterator[tuple[Stream, int, bool]]:
        """The stream and the offset of the end of each run of entries that make one frame.

        The flag with them tells whether bytes not kept there are certain to be lost: an
        offset is noted once everything before it was written. The caller goes to the end of
        a run before the next; entries that were passed are left behind, but for the last.
        """
        number = 0
        while number < len(entries):
            first, kind, _ = entries[number]
            stream = Stream(kind & ~PLACE)
            count = 1
            if kind & PLACE:
                self.position.time = _time_of(entries, number) or self.position.time
                limit = first
            else:
                self.position.time = first
                count, length = _run_at(entries, number)
                limit = self.position.at[stream] + length - self.position.passed
            if limit > self.position.at[stream]:
                yield stream, limit, bool(kind & PLACE)
            number += count
            self._leave(entries, number, count)

    def _leave(self, entries: list[_Entry], number: int, count: int) -> None:
        """Leaves the ``count`` entries before ``number`` behind, but for the last of all."""
        if number < len(entries):
            self.position.index += count * INDEX_ENTRY.size
            self.position.passed = 0
        else:
            self.position.index += (count - 1) * INDEX_ENTRY.size
            _, kind, length = entries[-1]
            self.position.passed = 0 if kind & PLACE else length

    def _until(
        self, reader: OutputReader, stream: Stream, limit: int, *, certain: bool
    ) -> Iterator[Frame]:
        """Frames of one stream up to the offset ``limit``, as far as there are any for now."""
        while self.position.at[stream] < limit:
            at = self.position.at[stream]
            unread = self._unread(stream, limit - at)
            if unread:
                self._move(stream, unread)
                continue
            if self._wanted.until is not None and self.position.time >= self._wanted.until:
                return
            piece = reader.read(stream, at, min(limit - at, self._largest))
            if not piece.data and not certain:
                return  # its file went this moment: another reader sees from where on
            begin = min(piece.offset, limit) if piece.data else limit
            if begin > at:
                yield self._frame(stream, b"", begin - at)
                continue
            data = piece.data
            if at + len(data) < limit:
                data = data[: whole_characters(data)]
            yield self._frame(stream, data)

    def _unread(self, stream: Stream, length: int) -> int:
        """The number of the next ``length`` bytes that nobody wants."""
        if self._skips:
            return min(length, self._skip_to - self.position.seq)
        wanted = stream in self._wanted.streams and self.position.time >= self._wanted.since
        return 0 if wanted else length

    def _frame(self, stream: Stream, data: bytes, dropped: int = 0) -> Frame:
        self._move(stream, len(data) + dropped)
        return Frame(self.position.seq, self.position.time, stream, data, dropped)

    def _move(self, stream: Stream, length: int) -> None:
        self.position.at[stream] += length
        self.position.passed += length

    def _rest(self, reader: OutputReader, end: End) -> Iterator[Frame]:
        """Frames of the last bytes, which may lack an entry; ``end`` has the gaps among them."""
        for stream in BOTH:
            gone = [gap.end for gap in end.gaps if gap.stream is stream]
            limit = max([reader.size(stream), *gone])
            self.position.time = self.position.time or nanoseconds(end.finished_at)
            yield from self._until(reader, stream, limit, certain=True)


def _run_at(entries: list[_Entry], number: int) -> tuple[int, int]:
    """The number of entries from that one on that make one frame, and of bytes they cover."""
    first, kind, length = entries[number]
    following = number + 1
    while following < len(entries):
        time, other, more = entries[following]
        if other != kind or time - first >= MERGED or length + more > MOST:
            break
        following += 1
        length += more
    return following - number, length


def _time_of(entries: list[_Entry], number: int) -> int:
    """The time of the first bytes after an offset; 0 where there are none yet."""
    return next((time for time, kind, _ in entries[number : number + 3] if not kind & PLACE), 0)


def whole_characters(data: bytes) -> int:
    """The number of bytes of ``data`` without a UTF-8 character that is cut off at its end."""
    for back in range(1, min(4, len(data))):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            size = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
            return len(data) - back if byte >= 0xC0 and size > back else len(data)
    return len(data)
