"""The kernel's reports of a cgroup that has run out of memory."""

from __future__ import annotations

import os
import time

_SUSPICION = 2.0
"""Seconds after the alarm in which to expect a kill: the alarm comes first, and another
limit may keep the allocating process from its CPU before it gets to the killing."""

_LOOK = 0.02
"""Seconds between two looks meanwhile."""


def read(directory: int, name: str) -> bytes:
    """The content of a file of a cgroup."""
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
    """The number of processes killed: ``memory.events`` (v2), ``memory.oom_control`` (v1)."""
    return kills_in(read(directory, name))


def kills_in(text: bytes) -> int:
    """The number of processes killed, by the text of such a file."""
    return field(text, b"oom_kill")


class Alarm:
    """The event of cgroup v1, where the kernel kills one process and not the job.

    It rings just before the kernel looks for a process to kill, and for every cgroup below
    the full one: so the count of kills is read afterwards, until it shows one.
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
        """Takes the event: from now on a kill is expected."""
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
        """Closes the event's descriptor."""
        os.close(self.fd)
