"""The spool: names of its directories and files, and how records are written and read.

A record is a list of ``key=value`` fields, each ended by a NUL, like the environment in
``/proc/PID/environ``: what goes into exec cannot hold a NUL, so no byte needs escaping,
and reading it takes no module that would sit in the memory of every supervisor.

Both sides of the contract use this module: the supervisor as it is, the server
through ``jobworker.spool``. Everything goes by directory descriptor, and a record is
written under a dot-name and renamed, so that a reader sees all of it or nothing.
"""

from __future__ import annotations

import os
import struct

SPOOL = "spool"
EMPTY = "empty"
SPEC = "spec"
STARTED = "started"
STOP = "stop"
EXIT = "exit"
CONTROL = "control"
TMP = "tmp"
STDOUT = "stdout"
STDERR = "stderr"
INDEX = "index"

INDEX_ENTRY = struct.Struct("<QII")
"""One entry of the index: nanoseconds since 1970, stream number (1 or 2), length."""

Fields = list[tuple[str, bytes]]


def pack(fields: Fields) -> bytes:
    """The bytes of a record; keys may repeat."""
    return b"".join([b"%b=%b\0" % (key.encode(), value) for key, value in fields])


def unpack(data: bytes) -> Fields:
    """The fields of a record; raises ``ValueError`` where it is damaged."""
    if data and not data.endswith(b"\0"):
        raise ValueError("the record is cut off")
    fields = []
    for field in data.split(b"\0")[:-1]:
        key, equals, value = field.partition(b"=")
        if not equals:
            raise ValueError("the record has a field without a value")
        fields.append((key.decode("ascii"), value))
    return fields


def write_record(directory: int, name: str, fields: Fields, *, durable: bool) -> None:
    """Write a record; with ``durable`` it survives a power cut once this returns."""
    draft = f".{name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    fd = os.open(draft, flags, 0o600, dir_fd=directory)
    try:
        write_all(fd, pack(fields))
        if durable:
            os.fdatasync(fd)
    finally:
        os.close(fd)
    os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    if durable:
        os.fsync(directory)


def read_record(directory: int, name: str) -> Fields | None:
    """Read a record; None where there is none. Raises ``ValueError`` where it is damaged."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return unpack(os.read(fd, os.fstat(fd).st_size))
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_directory(name: str, dir_fd: int | None = None) -> int:
    """Open a directory by name, refusing a symbolic link."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)


def read_text(path: str, dir_fd: int | None = None) -> str:
    """What a small file of ``/proc`` says."""
    fd = os.open(path, os.O_RDONLY, dir_fd=dir_fd)
    try:
        return os.read(fd, 4096).decode("utf-8", "replace")
    finally:
        os.close(fd)


def process_identity(stat: str) -> tuple[int, int]:
    """PID and start time (clock ticks since boot) from a ``/proc/PID/stat`` (proc(5)).

    Together with the boot ID they name one process for ever. The command name in
    parentheses may hold anything, so fields are counted from the last one.
    """
    pid = int(stat.split(" ", 1)[0])
    return pid, int(stat.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """The kernel's ID of this boot (random(4))."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()
