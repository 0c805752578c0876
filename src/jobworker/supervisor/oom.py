"""What the kernel tells of a cgroup that has run out of memory."""

from __future__ import annotations

import os
import time

_SUSPICION = 2.0
"""Seconds to expect a kill for after the alarm: the alarm comes first, and who allocates
may be kept from its CPU by another limit before it gets to the killing."""

_LOOK = 0.02
"""Seconds between two looks meanwhile."""


def read(directory: int, name: str) -> bytes:
    """What a file of a cgroup says."""
    fd = os.open(name, os.O_RDONLY, dir_fd=directory)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def field(text: bytes, name: bytes) -> int:
    """The number after ``name`` in a file of ``name number`` lines; 0 without one."""
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0


def kills(directory: int, name: str) -> int:
    """How many processes were killed: ``memory.events`` (v2) or ``memory.oom_control`` (v1)."""
    return field(read(directory, name), b"oom_kill")


class Alarm:
    """The event of cgroup v1, where the kernel kills one process and not the job.

    It rings just before the kernel looks for whom to kill, and for every cgroup below the
    one that is full: so what was killed is asked afterwards, until it shows.
    """

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._until = 0.0
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._register()
        except OSError:
            self.close()
            raise

    def _register(self) -> None:
        control = os.open("memory.oom_control", os.O_RDONLY, dir_fd=self._directory)
        try:
            registration = os.open("cgroup.event_control", os.O_WRONLY, dir_fd=self._directory)
            try:
                os.write(registration, b"%d %d" % (self.fd, control))
            finally:
                os.close(registration)
        finally:
            os.close(control)

    def ring(self) -> None:
        """Take the event: from now on a kill is expected."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return
        self._until = time.monotonic() + _SUSPICION

    def patience(self) -> float | None:
        """Seconds until it is time to look again; None where nothing is suspected."""
        return _LOOK if self._until else None

    def confirmed(self) -> bool:
        """Whether a process has been killed since it rang; true only once."""
        if not self._until:
            return False
        over = time.monotonic() >= self._until
        killed = kills(self._directory, "memory.oom_control") > 0
        if killed or over:
            self._until = 0.0
        return killed

    def close(self) -> None:
        """Let go of the event."""
        os.close(self.fd)
