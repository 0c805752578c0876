"""The reasons why a program was not executed."""

from __future__ import annotations

import os

E2BIG, EAGAIN, ENOMEM, ESTALE = 7, 11, 12, 116

MEMORY_STAGE = "memory limit"
"""The stage at which a program is not executed for want of memory under its own limit."""

_ELF = b"\x7fELF"
_LONGEST_FIRST_LINE = 256
"""Bytes: all of it that the kernel looks at (BINPRM_BUF_SIZE)."""

_TYPE_MASK = 0o170000
_DIRECTORY = 0o040000


class NotExecuted(Exception):
    """The program was not executed; ``stage`` says at which step and ``errno`` why.

    ``kind`` tells apart what exec's errno does not: ``missing``, ``directory``,
    ``interpreter``, ``carriage-return``, ``loader``, ``denied``, ``processes`` (of its user,
    too many), ``other``.
    """

    def __init__(self, stage: str, errno: int, kind: str = "other") -> None:
        super().__init__(f"{stage}: {os.strerror(errno)}")
        self.stage = stage
        self.errno = errno
        self.kind = kind


class Unattended(Exception):
    """The program was executed, or may have been, and its supervisor cannot attend it."""


def step_of(stage: str, error: OSError) -> str:
    """The step that failed, with what it was about where that is known: ``setup (/proc)``."""
    about = error.filename
    if about is None and error.strerror != os.strerror(error.errno or 0):
        about = error.strerror  # one of our own, which the errno does not say
    return f"{stage} ({os.fsdecode(about)})" if isinstance(about, str | bytes) else stage


def _kind_of_absence(program: bytes) -> str:
    """The part that a program names and that is absent, by how its file begins."""
    try:
        fd = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it may be executed, and not read
        return "interpreter"
    try:
        begins = os.read(fd, _LONGEST_FIRST_LINE)
    except OSError:
        return "interpreter"
    finally:
        os.close(fd)
    if begins.startswith(_ELF):
        return "loader"
    words = begins.partition(b"\n")[0][2:].replace(b"\t", b" ").strip(b" ").split(b" ")
    return "carriage-return" if words[0].endswith(b"\r") else "interpreter"


def kind_of_failure(program: bytes, errno: int) -> str:
    """The kind of failure that exec's errno leaves open, as the job's own user sees it."""
    try:
        mode = os.stat(program).st_mode
    except PermissionError:
        return "denied"
    except OSError:
        return "missing"
    if mode & _TYPE_MASK == _DIRECTORY:
        return "directory"
    if errno == 2:  # ENOENT for a file that is there: what it names to run it is not (execve(2))
        return _kind_of_absence(program)
    if errno == 13:
        return "denied"
    return "other"
