"""The spawner's program for this machine: built by ``scripts/native``, and shipped for each."""

from __future__ import annotations

import errno
import os
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs")
"""A directory for each machine, of the name that the kernel has for it."""

NAME = "jobd-spawner"
"""The program's name: what ``ps`` shows."""


class NoProgram(OSError):
    """No program can be executed here; the message says what to do about it."""


def machines() -> list[str]:
    """The machines that there is a program for."""
    return sorted(path.parent.name for path in PROGRAMS.glob(f"*/{NAME}"))


def path(machine: str | None = None) -> Path:
    """The program for ``machine``, by default this one; raises ``NoProgram``."""
    machine = machine or os.uname().machine
    program = PROGRAMS / machine / NAME
    if machine not in machines():
        raise NoProgram(
            errno.ENOEXEC,
            f"no {NAME} for the machine {machine}: there is one for"
            f" {', '.join(machines()) or 'none'}. In a checkout of the project, add {machine} to"
            " the machines in scripts/native, run it, and install from there",
        )
    if not os.access(program, os.X_OK):
        raise NoProgram(
            errno.EACCES,
            f"cannot execute {program}: it lost its mode on the way here, or its file system"
            f" executes nothing (noexec). Try: chmod 755 {program}",
        )
    return program
