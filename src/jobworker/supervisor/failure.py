"""The reasons why a program was not executed."""

from __future__ import annotations

import os

E2BIG, EAGAIN, ENOMEM, ESTALE = 7, 11, 12, 116

MEMORY_STAGE = "memory limit"
"""The stage at which a program is not executed for want of memory under its own limit."""

_TYPE_MASK = 0o170000
_DIRECTORY = 0o040000


class NotExecuted(Exception):
    """The program was not executed; ``stage`` says at which step and ``errno`` why.

    ``kind`` tells apart what exec's errno does not: ``missing``, ``directory``,
    ``interpreter``, ``denied``, ``processes`` (of its user, too many), ``other``.
    """

    def __init__(self, stage: str, errno: int, kind: str = "other") -> None:
        super().__init__(f"{stage}: {os.strerror(errno)}")
        self.stage = stage
        self.errno = errno
        self.kind = kind


class Unattended(Exception):
    """The program was executed, or may have been, and its supervisor cannot attend it."""


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
    if errno == 2:  # ENOENT for a file that is there: its interpreter is not (execve(2))
        return "interpreter"
    if errno == 13:
        return "denied"
    return "other"
