"""Carry output from the pipes to the spool, with the index of what came when."""

from __future__ import annotations

import os
import time

from . import records

_CHUNK = 65536
"""The size of a pipe (pipe(7)): one read empties it."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
_NAMES = (records.STDOUT, records.STDERR, records.INDEX)
_INDEX = 2


class Pump:
    """The output files of one job, each made when its first byte comes.

    What cannot be written, because the disk is full or broken, is counted as dropped:
    the program is never blocked by it.
    """

    def __init__(self, spool: int) -> None:
        self._spool = spool
        self._files: list[int | None] = [None, None, None]
        self.written = [0, 0]
        self.dropped = 0

    def carry(self, source: int, stream: int) -> int:
        """Move what the pipe ``source`` holds, up to one chunk, and return how much it was.

        ``stream`` is 0 for standard output and 1 for standard error. 0 means that the
        pipe has ended, or is empty and does not block.
        """
        try:
            data = os.read(source, _CHUNK)
        except BlockingIOError:
            return 0
        if data:
            self._keep(data, stream)
        return len(data)

    def _keep(self, data: bytes, stream: int) -> None:
        try:
            kept = self._append(stream, data)
        except OSError:
            kept = self._size(stream) - self.written[stream]
        self.written[stream] += kept
        self.dropped += len(data) - kept
        if kept:
            self._note(kept, stream)

    def _note(self, length: int, stream: int) -> None:
        try:
            self._append(_INDEX, records.INDEX_ENTRY.pack(time.time_ns(), stream + 1, length))
        except OSError:
            # Order and time of these bytes are lost, not the bytes; a torn entry is
            # cut off, so that the entries after it stay readable.
            size = self._size(_INDEX)
            if index := self._files[_INDEX]:
                os.ftruncate(index, size - size % records.INDEX_ENTRY.size)

    def _append(self, which: int, data: bytes) -> int:
        fd = self._files[which]
        if fd is None:
            fd = self._files[which] = os.open(_NAMES[which], _CREATE, 0o600, dir_fd=self._spool)
        records.write_all(fd, data)
        return len(data)

    def _size(self, which: int) -> int:
        fd = self._files[which]
        return 0 if fd is None else os.fstat(fd).st_size

    def make_durable(self) -> None:
        """See that the output outlives a power cut (fdatasync(2))."""
        for fd in self._files:
            if fd is not None:
                os.fdatasync(fd)
