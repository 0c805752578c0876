"""Where the last lines of a job's output begin."""

from __future__ import annotations

from jobworker.frames import Frame, Position, Replay, Selection
from jobworker.model import End, Stream
from jobworker.ports import OutputReader

WINDOW = 256 * 1024
"""Bytes that are looked through at once, from the end backwards."""


def start_of(lines: int, streams: tuple[Stream, ...], reader: OutputReader, end: End | None) -> int:
    """The number of the last byte before the last ``lines`` lines of ``streams`` taken together.

    A line that has not ended yet counts as one. May block on the disk.
    """
    marks = _marks(reader, end)
    breaks: list[int] = []
    stop = marks.pop().seq
    if not lines:
        return stop
    last = -1
    for mark in reversed(marks):
        found, newest = _line_ends(reader, end, Selection(streams=streams), mark, stop)
        last = max(last, newest)
        breaks = found + breaks
        wanted = lines + (bool(breaks) and breaks[-1] == last)
        if len(breaks) >= wanted:
            return breaks[-wanted]
        stop = mark.seq
    return 0


def _marks(reader: OutputReader, end: End | None) -> list[Position]:
    """Positions a window apart, from the beginning to where the output ends now."""
    replay = Replay()
    marks = [replay.position.copy()]
    while replay.skip(reader, end, replay.position.seq + WINDOW):
        marks.append(replay.position.copy())
    marks.append(replay.position.copy())
    return marks


def _line_ends(
    reader: OutputReader, end: End | None, selection: Selection, mark: Position, stop: int
) -> tuple[list[int], int]:
    """The numbers of the line ends from ``mark`` to ``stop``, and of the last byte there."""
    replay = Replay(selection, mark.copy())
    ends: list[int] = []
    last = -1
    while replay.position.seq < stop and (frames := replay.read(reader, end, WINDOW)):
        for frame in frames:
            first = frame.seq - len(frame.data)
            ends += [at for at in _ends_in(frame) if at <= stop]
            if first < stop and frame.data:
                last = min(frame.seq, stop)
    return ends, last


def _ends_in(frame: Frame) -> list[int]:
    first = frame.seq - len(frame.data)
    found = []
    at = frame.data.find(b"\n")
    while at >= 0:
        found.append(first + at + 1)
        at = frame.data.find(b"\n", at + 1)
    return found
