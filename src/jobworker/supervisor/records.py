"""The spool: names of its directories and files, and the format of a job's record.

A record is one file that is only ever appended to, a section at a time: ``spec``,
``stop``, ``deadline``, ``eof`` and ``void`` by the server, ``launch``, ``started``, ``refused`` and
``exit`` by the supervisor. A section is a list of ``key=value`` fields, each ended by a NUL,
like the environment in ``/proc/PID/environ``: no argument of exec can hold a NUL, so no
byte needs escaping.

The server has the format from here, by way of ``jobworker.spool.spool``; the supervisor's half
is ``native/record.c``, and tests hold the two together. Everything goes by directory descriptor.
"""

from __future__ import annotations

import os
import struct

SPOOL = "spool"
EMPTY = "empty"
RECORD = "record"
TMP = "tmp"
STDIN = "stdin"
STDOUT = "stdout"
STDERR = "stderr"
INDEX = "index"
SIGNALS = "signals"

SPEC = "spec"
LAUNCH = "launch"
REFUSED = "refused"
STARTED = "started"
STOP = "stop"
DEADLINE = "deadline"
EOF = "eof"
VOID = "void"
EXIT = "exit"

GIVEN, FED, TERMINAL = b"given", b"fed", b"terminal"
"""The values of ``stdin`` in a spec: a whole file, a pipe, or a pipe to a terminal."""

INDEX_ENTRY = struct.Struct("<QII")
"""One entry of the index: nanoseconds since 1970, stream number (1 or 2), length.

With ``PLACE`` added to the stream number, the stream goes on at the offset in the first
field: the bytes in between were not kept, or came unnoted.
"""
INDEX_LENGTH = struct.Struct("<I")
"""The last field of an entry: that of the last entry may grow."""
PLACE = 0x80

Fields = list[tuple[str, bytes]]

_BLOCK = 4096
"""The size of a page, and of a block on the file systems that we know."""

_ROOM = 2048
"""Bytes that a job's start, its end, and several changes of its deadline take."""

_BEGIN = "section"
_END = "end"


def pack(fields: Fields) -> bytes:
    """The bytes of a list of fields; keys may repeat."""
    return b"".join([b"%b=%b\0" % (key.encode(), value) for key, value in fields])


def unpack(data: bytes) -> Fields:
    """The fields that ``data`` holds whole; a torn one is left out."""
    fields = []
    for field in data.split(b"\0")[:-1]:
        key, equals, value = field.partition(b"=")
        if equals:
            fields.append((key.decode("ascii", "replace"), value))
    return fields


def append(directory: int, section: str, fields: Fields, *, durable: bool = False) -> None:
    """Adds a section to the job's record; the first makes the file.

    It is one write(2) with ``O_APPEND``: sections of both sides do not mix. With
    ``durable`` it survives a power cut once this returns.
    """
    _append(directory, _section(section, fields), durable=durable)


def begin(directory: int, fields: Fields) -> None:
    """Makes the record with its first section, and with room for the others.

    A write into a block that the file has already takes no more space, so a disk that
    is full by then does not keep a job's end from being recorded.
    """
    whole = _section(SPEC, fields)
    room = -len(whole) % _BLOCK
    # NULs before a section mean nothing.
    _append(directory, b"\0" * (room + 1 if room < _ROOM else 0) + whole)


def _section(name: str, fields: Fields) -> bytes:
    # The NUL in front ends a field that an earlier section may have left torn.
    return b"\0" + pack([(_BEGIN, name.encode()), *fields, (_END, name.encode())])


def _append(directory: int, whole: bytes, *, durable: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    fd = os.open(RECORD, flags, 0o600, dir_fd=directory)
    try:
        write_all(fd, whole)
        if durable:
            os.fdatasync(fd)
    finally:
        os.close(fd)


def read(directory: int) -> dict[str, Fields]:
    """The sections of the job's record; the last one of each name counts.

    A section without its end, torn by a power cut or a full disk, is as good as not
    written.
    """
    try:
        fd = os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        return {}
    try:
        fields = unpack(os.read(fd, os.fstat(fd).st_size))
    finally:
        os.close(fd)
    return _sections(fields)


def senders(directory: int) -> dict[str, bytes]:
    """The time and user of the last of each signal that the server sent, by its number."""
    try:
        fd = os.open(SIGNALS, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        return {}
    try:
        return dict(unpack(os.read(fd, os.fstat(fd).st_size)))
    finally:
        os.close(fd)


def _sections(fields: Fields) -> dict[str, Fields]:
    sections = {}
    section: Fields = []
    for key, value in fields:
        if key == _BEGIN:
            section = []
        elif key == _END:
            sections[value.decode("ascii", "replace")] = section
        else:
            section.append((key, value))
    return sections


def write_all(fd: int, data: bytes) -> None:
    """Calls write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_directory(name: str, dir_fd: int | None = None) -> int:
    """Opens a directory by name, refusing a symbolic link."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)


def read_text(path: str, dir_fd: int | None = None) -> str:
    """The text of a small file of ``/proc``."""
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
