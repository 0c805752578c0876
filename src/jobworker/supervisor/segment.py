"""A stretch of output on the disk: up to a file for each stream, and one for the index.

The head of a job's output is the segment whose files are called ``stdout``, ``stderr`` and
``index``. The files of every other segment have the offset of their first byte in the
name, as in ``stdout.8388608``: counted from the first byte that the program wrote to that
stream, whether it was kept or not.
"""

from __future__ import annotations

import os
import time

from . import records

INDEX = 2
_NAMES = (records.STDOUT, records.STDERR, records.INDEX)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_FREE_INDEX = 64 * 1024
_LONGEST = 0xFFFF_FFFF


class Segment:
    """One segment, whose files are each made when their first byte comes.

    ``starts`` and ``sizes`` are by stream: standard output, standard error, index. With
    ``spare_index`` the index takes at most 64 KiB and a quarter of the output; without, it
    has an entry for each write.
    """

    def __init__(self, spool: int, starts: tuple[int, int, int] | None, spare_index: bool) -> None:  # noqa: FBT001 - one caller
        self.starts = starts or (0, 0, 0)
        self.sizes = [0, 0, 0]
        self._spool = spool
        self._is_head = starts is None
        self._spare_index = spare_index
        self._files: list[int | None] = [None, None, None]
        self._unnoted = [0, 0]
        self._last = (-1, 0)

    @property
    def size(self) -> int:
        """Bytes of both streams."""
        return self.sizes[0] + self.sizes[1]

    def append(self, stream: int, data: memoryview) -> int:
        """Adds ``data`` to a stream; returns how many bytes could be written.

        Less than all means that the disk is full or broken: the bytes after that belong
        into another segment.
        """
        kept = 0
        try:
            fd = self._files[stream]
            if fd is None:
                fd = self._open(stream, os.O_APPEND)
            while kept < len(data):
                kept += os.write(fd, data[kept:] if kept else data)
        except OSError:
            pass
        if kept:
            self.sizes[stream] += kept
            self._unnoted[stream] += kept
            self._note(stream)
        return kept

    def _open(self, which: int, flags: int = 0) -> int:
        fd = os.open(self._name(which), _CREATE | flags, 0o600, dir_fd=self._spool)
        self._files[which] = fd
        return fd

    def _name(self, which: int) -> str:
        name = _NAMES[which]
        return name if self._is_head else f"{name}.{self.starts[which]}"

    def _note(self, stream: int) -> None:
        """Puts what came into the index, or leaves it to a later entry.

        Where the index may not grow, the last entry does; it cannot where the other stream
        has written in between, as that would change an order that was read already.
        """
        if self._spare_index and self.sizes[INDEX] - _FREE_INDEX > self.size // 4:
            last, length = self._last
            length += self._unnoted[stream]
            if last == stream and not self._unnoted[1 - stream] and length <= _LONGEST:
                self._lengthen_last(stream, length)
        else:
            self._add_entries()

    def _lengthen_last(self, stream: int, length: int) -> None:
        if self._write_index(records.INDEX_LENGTH.pack(length), records.INDEX_LENGTH.size):
            self._last = (stream, length)
            self._unnoted[stream] = 0

    def _add_entries(self) -> None:
        """Adds an entry for each stream that has bytes without one."""
        now = time.time_ns()
        entries = b""
        last = self._last
        for stream in (0, 1):
            if length := self._unnoted[stream]:
                last = (stream, min(length, _LONGEST))
                entries += records.INDEX_ENTRY.pack(now, stream + 1, last[1])
        if not self.sizes[INDEX] and not self._is_head:
            entries = self._places() + entries
        if self._write_index(entries):
            self.sizes[INDEX] += len(entries)
            self._last = last
            for stream in (0, 1):
                self._unnoted[stream] = max(0, self._unnoted[stream] - _LONGEST)

    def _places(self) -> bytes:
        """Entries that say where the segment begins, so that its index stands alone."""
        return b"".join(
            [
                records.INDEX_ENTRY.pack(self.starts[stream], records.PLACE + stream + 1, 0)
                for stream in (0, 1)
            ]
        )

    def _write_index(self, data: bytes, before_end: int = 0) -> bool:
        """Writes at the index's end, or so many bytes before; False where that fails.

        Then only order and time of bytes are not known for now: a later entry covers
        them. An entry written in part is cut off or written over.
        """
        try:
            fd = self._files[INDEX]
            if fd is None:
                fd = self._open(INDEX)
            end = self.sizes[INDEX]
            if os.pwrite(fd, data, end - before_end) == len(data):
                return True
            os.ftruncate(fd, end)
        except OSError:
            pass
        return False

    def close(self, *, durable: bool = False) -> None:
        """Writes what the index still lacks, closes the files, removes those left empty.

        ``durable`` files outlive a power cut (fdatasync(2)).
        """
        if any(self._unnoted):
            self._add_entries()
        for which, fd in enumerate(self._files):
            if fd is not None:
                if durable:
                    os.fdatasync(fd)
                os.close(fd)
                if not self.sizes[which]:
                    self._unlink(which)
        self._files = [None, None, None]
        self._unnoted = [0, 0]

    def remove(self) -> None:
        """Deletes the files of a closed segment; a reader that has them open goes on."""
        for which, size in enumerate(self.sizes):
            if size:
                self._unlink(which)

    def _unlink(self, which: int) -> None:
        try:
            os.unlink(self._name(which), dir_fd=self._spool)
        except OSError:
            pass  # a broken disk, which the program's end must not depend on

    def make_durable(self) -> None:
        """Makes a closed segment outlive a power cut."""
        for which, size in enumerate(self.sizes):
            if size:
                fd = os.open(self._name(which), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._spool)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
