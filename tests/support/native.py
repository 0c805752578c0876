"""The spawner's code in C as a library of this process; takes gcc.

It is built once a run, from the sources and with ``tests/native``, whose views give what the
code has decided as fields. What is undefined in C ends the run at that instruction.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from ctypes import POINTER, Structure, c_char_p, c_size_t
from pathlib import Path

import pytest

from jobworker.supervisor import records

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "jobworker" / "supervisor" / "native"

needs_compiler = pytest.mark.needs("gcc")
"""The mark of every test that calls ``library``."""

_TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


@functools.cache
def library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as directory:
        build("--library", "gcc", directory, *_TRAPS)
        loaded = ctypes.CDLL(str(Path(directory, "native.so")), use_errno=True)
    loaded.view_size.restype = c_size_t
    return loaded


def build(*arguments: str) -> None:
    """Run scripts/native; its words are those of the failure."""
    done = subprocess.run(
        [str(ROOT / "scripts" / "native"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


class _Fields(Structure):
    _fields_ = [("data", POINTER(ctypes.c_char)), ("size", c_size_t), ("most", c_size_t)]


class FieldsOut:
    """A ``struct fields`` for the code to fill."""

    def __init__(self, most: int = 1 << 16) -> None:
        self._buffer = ctypes.create_string_buffer(most)
        self._fields = _Fields(ctypes.cast(self._buffer, POINTER(ctypes.c_char)), 0, most)
        self.reference = ctypes.byref(self._fields)

    def raw(self) -> bytes:
        return self._buffer.raw[: self._fields.size]

    def fields(self) -> records.Fields:
        return records.unpack(self.raw())


def zeroed(structure: str) -> ctypes.Array[ctypes.c_char]:
    """Memory for one of the structures that views.c knows, as static memory is."""
    size = library().view_size(structure.encode())
    assert size
    return ctypes.create_string_buffer(size)


def order(spec: records.Fields, uid: int = 0) -> tuple[bool, records.Fields]:
    """Whether an order is accepted, and then all that was read of it; else why it is not."""
    with tempfile.TemporaryDirectory() as path:
        spool = records.open_directory(path)
        try:
            records.begin(spool, spec)
            return order_in(spool, uid)
        finally:
            os.close(spool)


def order_in(spool: int, uid: int = 0) -> tuple[bool, records.Fields]:
    """The order in a job's record."""
    told = FieldsOut(1 << 20)
    accepted = library().view_order(spool, uid, told.reference) == 0
    return accepted, told.fields()


def raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def words(texts: list[bytes]) -> ctypes.Array[c_char_p]:
    return (c_char_p * len(texts))(*texts)
