"""The cgroup of all jobs that have none of their own: what bounds them together.

The spawner enters it, and all that it makes is born there: it costs a job nothing. So the
supervisors are in it, too; the kernel kills what holds the most (``oom_badness``), which
they do not.
"""

from __future__ import annotations

import os

from . import oom
from .cgroups import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Fields


class Commons:
    """The cgroup at ``path``, of v1 or v2; ``limit`` is what all jobs together may hold."""

    def __init__(self, version: int, path: str, limit: bytes) -> None:
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._kills = "memory.events" if version == 2 else "memory.oom_control"
        self._limit = limit

    def enter(self) -> None:
        """Moves this process into it, for good."""
        write(self._directory, "cgroup.procs", b"0")

    def kills(self) -> int:
        """The number of processes in it that have been killed for memory."""
        return oom.kills(self._directory, self._kills)

    def evidence(self, before: int) -> Fields:
        """The evidence of an end by the limit of all; ``before`` are the kills of old."""
        kills = self.kills() - before
        if kills <= 0:
            return []
        return [
            ("evidence.memoryLimitOfAll", self._limit),
            ("evidence.oomKillsOfAll", b"%d" % kills),
        ]


def opened(words: list[str]) -> Commons | None:
    """The one that an argument of the spawner names (``2:1073741824:/sys/fs/cgroup/…``), entered.

    None without one, or where it has been removed: the spawner serves jobs all the same.
    """
    for text in words:
        version, limit, path = text.split(":", 2)
        try:
            found = Commons(int(version), path, limit.encode())
            found.enter()
        except OSError:
            return None
        return found
    return None


def word(version: int, limit: int, path: str) -> str:
    """An argument of the spawner."""
    return f"{version}:{limit}:{path}"
