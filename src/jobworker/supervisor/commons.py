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
        # Both are read at every start: so they stay open.
        events = "memory.events" if version == 2 else "memory.oom_control"
        self._events = os.open(events, os.O_RDONLY, dir_fd=self._directory)
        self._limit = limit
        # The limit is that of the directory above, which also has the jobs under limits.
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._directory)
        name = "memory.current" if version == 2 else "memory.usage_in_bytes"
        self._usage = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)

    def enter(self) -> None:
        """Moves this process into it, for good."""
        write(self._directory, "cgroup.procs", b"0")

    def events(self) -> bytes:
        """The counts that the kernel keeps of it, kills for memory among them."""
        return os.pread(self._events, 4096, 0)

    def is_tight(self) -> bool:
        """Whether most of it is taken, so that a kill may be near."""
        return int(os.pread(self._usage, 32, 0)) > int(self._limit) // 8 * 7

    def evidence(self, before: bytes) -> Fields:
        """The evidence of an end by the limit of all; ``before`` are the ``events`` of old."""
        kills = oom.kills_in(self.events()) - oom.kills_in(before)
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
