"""Reads the output files of a live job, while its supervisor adds some and deletes others."""

from __future__ import annotations

import os
from dataclasses import dataclass

from jobworker.model import Piece, Stream
from jobworker.output import spans
from jobworker.output.reader import Span

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class _File:
    """An open file of a stream, and the offset of its first byte."""

    start: int
    fd: int

    @property
    def end(self) -> int:
        return self.start + os.fstat(self.fd).st_size


class SpoolOutput:
    """The output of one job as it is now (``output.reader.OutputReader``).

    All files are opened at once: the supervisor may delete some, or the job move to the
    archive, before the first byte is read, and an open file stays readable. The last file
    of a stream may grow; files that come later are for another reader.
    """

    def __init__(self, directory: int) -> None:
        self._files: dict[Stream, list[_File]] = {stream: [] for stream in Stream}
        try:
            for stream, files in _complete_listing(directory).items():
                for start, name in files:
                    self._open(stream, start, name, directory)
        except OSError:
            self.close()
            raise

    def _open(self, stream: Stream, start: int, name: str, directory: int) -> None:
        try:
            self._files[stream].append(_File(start, os.open(name, _FLAGS, dir_fd=directory)))
        except FileNotFoundError:
            return  # deleted since it was listed: a gap by now

    def size(self, stream: Stream) -> int:
        """The offset after the last byte that is kept."""
        found = self.spans(stream)
        return found[-1][1] if found else 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The spans that are kept, in order."""
        return spans.joined((file.start, file.end) for file in self._files[stream])

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it; fewer only before a gap or the end."""
        begin, wanted = offset, length
        parts: list[bytes] = []
        for file in self._files[stream]:
            at = begin + length - wanted
            if parts and file.start != at:
                break
            offset = max(at, file.start)
            data = os.pread(file.fd, wanted, offset - file.start)
            if not data:
                continue
            if not parts:
                begin = offset
            parts.append(data)
            wanted -= len(data)
            if not wanted:
                break
        return Piece(begin, b"".join(parts))

    def close(self) -> None:
        """Closes the files."""
        for files in self._files.values():
            for file in files:
                os.close(file.fd)
        self._files = {stream: [] for stream in Stream}


_Listing = dict[Stream, list[tuple[int, str]]]


def _complete_listing(directory: int) -> _Listing:
    """The output files by their offsets, so that none is missing between two others.

    While a directory is read, files that are made meanwhile may be seen or not, each for
    itself (readdir(3)): a later one could be seen without one before it, and look like a
    gap. A second look sees every file that the first one could have missed in that way.
    """
    first = _listing(directory)
    if not any("." in name for files in first.values() for _, name in files):
        return first  # the head alone, which nothing comes before
    second = _listing(directory)
    return {
        stream: [file for file in second[stream] if file <= files[-1]] if files else []
        for stream, files in first.items()
    }


def _listing(directory: int) -> _Listing:
    found: _Listing = {stream: [] for stream in Stream}
    for name in os.listdir(directory):
        stem, _, start = name.partition(".")
        stream = _STREAMS.get(stem)
        if stream is not None:
            found[stream].append((int(start or 0), name))
    for files in found.values():
        files.sort()
    return found


_STREAMS = {stream.file_name: stream for stream in Stream}
