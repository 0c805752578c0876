"""A pump on a directory of its own, fed by hand, on a disk that fails when it is told to."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from jobworker.spool.output import SpoolOutput
from jobworker.supervisor import records, segment
from jobworker.supervisor.pump import Pump

OUT, ERR = 0, 1


class Disk:
    """The calls of ``os`` that the pump makes; some of its writes fail, or half of them."""

    def __init__(self) -> None:
        self.failures: Iterator[str] = iter(())

    def open(self, name: str, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT and next(self.failures, "") == "open":
            raise OSError(errno.ENOSPC, "full")
        return os.open(name, flags, *rest, **more)

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, self._let_through(data))

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, self._let_through(memoryview(data)), offset)

    def _let_through(self, data: memoryview) -> memoryview:
        fate = next(self.failures, "")
        if fate == "error":
            raise OSError(errno.EIO, "broken")
        return data[: len(data) // 2 + 1] if fate == "part" else data

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@dataclass
class Rig:
    """A pump on a directory of its own, and all that was written to it, in order."""

    directory: int
    pump: Pump
    disk: Disk
    came: list[tuple[int, bytes]] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=lambda: [b"", b""])

    def write(self, stream: int, data: bytes) -> None:
        """Let the program write, at most what a pipe holds, and the pump carry it."""
        source, sink = os.pipe()
        try:
            os.write(sink, data)
            assert self.pump.carry(source, stream) == len(data)
        finally:
            os.close(source)
            os.close(sink)
        self.came.append((stream, data))
        self.streams[stream] += data

    def number(self, stream: int, length: int) -> None:
        """Write bytes that tell their place."""
        at = len(self.streams[stream])
        self.write(stream, bytes((at + k) * (7 + stream) % 251 for k in range(length)))

    @contextmanager
    def output(self) -> Iterator[SpoolOutput]:
        reader = SpoolOutput(self.directory)
        try:
            yield reader
        finally:
            reader.close()

    @property
    def total(self) -> int:
        return len(self.streams[OUT]) + len(self.streams[ERR])

    @property
    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory))  # noqa: PTH208 - by descriptor


@contextmanager
def rig(cap: int | None, *, kill: bool = False) -> Iterator[Rig]:
    disk = Disk()
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "os", disk)
        directory = records.open_directory(path)
        made = Rig(directory, Pump(directory, cap, kill_over=kill), disk)
        try:
            yield made
        finally:
            made.disk.failures = iter(())
            made.pump.finish()
            os.close(directory)
