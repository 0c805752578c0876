"""A pump on a directory of its own, fed by hand, on a disk that fails when it is told to."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobworker.spool.output import SpoolOutput
from jobworker.supervisor import records
from support import native

OUT, ERR = 0, 1

_FATES = {"": "-", "open": "o", "error": "e", "part": "p"}


class Disk:
    """The calls by which the pump makes files and writes; each takes the next of the fates.

    ``open`` keeps a file from being made, ``error`` a write from being done, and of ``part``
    half is written.
    """

    def fail(self, fates: Iterable[str]) -> None:
        schedule = "".join(_FATES[fate] for fate in fates)
        native.library().disk_schedule(schedule.encode())


class Pump:
    """A ``struct pump`` and what its exit record says."""

    def __init__(self, directory: int, cap: int | None, *, kill_over: bool) -> None:
        self._library = native.library()
        self._library.pump_carry.restype = ctypes.c_size_t
        self._library.pump_is_over_limit.restype = ctypes.c_bool
        self._pump = native.zeroed("pump")
        limit = ctypes.c_uint64(cap or 0)
        self._library.pump_init(self._pump, directory, cap is not None, limit, kill_over)

    def carry(self, source: int, stream: int) -> int:
        return int(self._library.pump_carry(self._pump, source, stream))

    def finish(self) -> None:
        if self._library.pump_finish(self._pump) < 0:
            native.raise_errno()

    @property
    def over_limit(self) -> bool:
        return bool(self._library.pump_is_over_limit(self._pump))

    def account(self) -> records.Fields:
        return self._told("pump_account")

    def evidence(self) -> records.Fields:
        return self._told("pump_evidence")

    def _told(self, function: str) -> records.Fields:
        told = native.FieldsOut()
        self._library[function](self._pump, told.reference)
        return told.fields()

    @property
    def offered(self) -> int:
        return sum(int(value) for key, value in self.account() if key.endswith("Bytes"))

    def kept(self, stream: int) -> int:
        return int(self.account()[stream][1])

    def gaps(self, stream: int) -> list[tuple[int, int]]:
        """The offsets ``[start, end)`` of each stretch of bytes that is not kept."""
        name = (records.STDOUT, records.STDERR)[stream]
        found = [value.decode().split() for key, value in self.account() if key == "gap"]
        return [(int(start), int(end)) for which, start, end in found if which == name]


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
    with tempfile.TemporaryDirectory() as path:
        directory = records.open_directory(path)
        pump = Pump(directory, cap, kill_over=kill)
        try:
            yield Rig(directory, pump, disk)
        finally:
            disk.fail(())
            pump.finish()
            os.close(directory)
