"""Carries output from the pipes to the spool, and keeps it within its cap.

Of what a program writes, the first eighth of the cap stays (the head), and of the rest
the last seven eighths (the tail). The tail is cut into segments, so that the oldest of
it can be deleted. Nothing is deleted before the program has written more than the cap.
"""

from __future__ import annotations

import fcntl
import os

from . import records
from .segment import INDEX, Segment

_PIPE = 65536
"""The size of a pipe (pipe(7)): one read empties it."""

_WIDE_PIPE = 4 * _PIPE
"""The size of one that was found full: a busy writer is woken, and wakes us, less often."""

_EIO = 5
_F_SETPIPE_SZ = 1031

_WITHOUT_END = 1 << 62
_TAIL_PARTS = 8
_MOST_SEGMENTS = 64
"""Segments of the tail. A disk that is full on and off begins a new one each time, and the
exit record has a line for each gap between them."""


class Pump:
    """The output of one job, of which ``cap`` bytes of both streams together are kept.

    With ``kill_over`` the first ``cap`` bytes are kept, and ``over_limit`` tells when there
    are more. Bytes that cannot be written, because the disk is full or broken, are a gap
    like any other: the program is never blocked by it.
    """

    def __init__(self, spool: int, cap: int | None = None, *, kill_over: bool = False) -> None:
        self._spool = spool
        self._cap = cap
        self._kill_over = kill_over
        self._places = [0, 0]
        self._most = [_PIPE, _PIPE]
        if cap is None:
            self._room = self._tail_most = self._segment_most = _WITHOUT_END
        else:
            self._room = cap if kill_over else cap // _TAIL_PARTS
            self._tail_most = cap - self._room
            self._segment_most = -(-self._tail_most // _TAIL_PARTS)
        self._segment = self._head = Segment(spool, None, cap is not None)
        self._tail: list[Segment] = []

    def __repr__(self) -> str:
        kept = self.kept(0) + self.kept(1)
        return f"<Pump: {self.offered} bytes offered, {kept} kept, cap {self._cap}>"

    def carry(self, source: int, stream: int) -> int:
        """Moves what the pipe ``source`` holds; returns the number of bytes.

        ``stream`` is 0 for standard output and 1 for standard error. Returns 0 where the
        pipe has ended, or is empty and does not block, or a terminal was hung up.
        """
        try:
            data = os.read(source, self._most[stream])
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != _EIO:  # a terminal's end: every process has closed its side
                raise
            return 0
        if data:
            self._keep(stream, memoryview(data))
        if len(data) == _PIPE and self._most[stream] == _PIPE:
            self._widen(source, stream)
        return len(data)

    def _widen(self, source: int, stream: int) -> None:
        self._most[stream] = _WIDE_PIPE
        try:
            fcntl.fcntl(source, _F_SETPIPE_SZ, _WIDE_PIPE)
        except OSError:
            pass  # an account may have so many pages in pipes and no more; it does as it is

    def _keep(self, stream: int, data: memoryview) -> None:
        while data:
            if not self._room:
                data = self._turn_over(stream, data)
            part = data[: self._room]
            kept = self._segment.append(stream, part)
            self._places[stream] += len(part)
            # Bytes after lost ones do not belong at the end of this file.
            self._room = self._room - kept if kept == len(part) else 0
            data = data[len(part) :]

    def _turn_over(self, stream: int, data: memoryview) -> memoryview:
        """Begins another segment; returns the part of ``data`` that goes there and after it."""
        self._segment.close()
        if self._tail and not self._tail[-1].size:
            del self._tail[-1]
        surplus = max(0, len(data) - self._tail_most)
        self._places[stream] += surplus
        data = data[surplus:]
        if data:
            free = self._make_room(min(len(data), self._segment_most))
            self._begin_segment(min(self._segment_most, free))
        return data

    def _make_room(self, wanted: int) -> int:
        """Deletes the oldest of the tail until ``wanted`` bytes fit; returns how many do."""
        free = self._tail_most - sum([segment.size for segment in self._tail])
        while free < wanted or len(self._tail) >= _MOST_SEGMENTS:
            oldest = self._tail.pop(0)
            oldest.remove()
            free += oldest.size
        return free

    def _begin_segment(self, room: int) -> None:
        before = self._segment
        noted = before.starts[INDEX] + before.sizes[INDEX]
        starts = (self._places[0], self._places[1], noted)
        self._segment = Segment(self._spool, starts, self._cap is not None)
        self._tail.append(self._segment)
        self._room = room

    @property
    def over_limit(self) -> bool:
        """Whether the job is to be killed for what it has written."""
        return self._kill_over and self._cap is not None and sum(self._places) > self._cap

    @property
    def offered(self) -> int:
        """Bytes that the program has written, kept or not."""
        return sum(self._places)

    def kept(self, stream: int) -> int:
        """Bytes of ``stream`` that are kept."""
        return sum([segment.sizes[stream] for segment in self._segments()])

    def gaps(self, stream: int) -> list[tuple[int, int]]:
        """The offsets ``[start, end)`` of each stretch of bytes that is not kept."""
        found = []
        at = 0
        for segment in self._segments():
            start, size = segment.starts[stream], segment.sizes[stream]
            if size:
                if start > at:
                    found.append((at, start))
                at = start + size
        if self._places[stream] > at:
            found.append((at, self._places[stream]))
        return found

    def _segments(self) -> list[Segment]:
        return [self._head, *self._tail]

    def finish(self) -> None:
        """Closes the files and makes the output outlive a power cut."""
        self._segment.close(durable=True)
        for segment in self._segments():
            if segment is not self._segment:
                segment.make_durable()

    def account(self) -> records.Fields:
        """The exit record's fields about the output."""
        kept = [self.kept(0), self.kept(1)]
        account = [
            ("stdoutBytes", b"%d" % kept[0]),
            ("stderrBytes", b"%d" % kept[1]),
            ("droppedBytes", b"%d" % (self.offered - sum(kept))),
        ]
        for stream, name in enumerate((records.STDOUT, records.STDERR)):
            account += [("gap", b"%s %d %d" % (name.encode(), *gap)) for gap in self.gaps(stream)]
        return account

    def evidence(self) -> records.Fields:
        """The evidence that the output is over its limit."""
        assert self._cap is not None
        return [("outputLimit", b"%d" % self._cap), ("outputBytes", b"%d" % self.offered)]
