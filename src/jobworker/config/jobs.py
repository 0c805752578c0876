"""The table ``[jobs]`` of the configuration file: how every job's processes are set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobworker.config import values
from jobworker.config.toml import Parser, Source, Table
from jobworker.limits import Range

TABLE = "jobs"

_LAST_UID = 2**32 - 2
"""The largest number of a user: the one above it means none (``uid_t`` of 32 bits)."""

_FIRST_UID = 1000
"""The least number of an owner's user: those below are the machine's own (login.defs(5))."""

KEYS: dict[str, Parser] = {
    "oom-score-adj": values.whole(Range(0, 1000)),
    "io-uring": values.boolean,
    "first-uid": values.whole(Range(_FIRST_UID, _LAST_UID)),
    "uid-count": values.whole(Range(1, 1_000_000)),
}

UID_COUNT = 10_000
"""The number of owners that a server can tell apart, unless the file says another."""


@dataclass(frozen=True, slots=True)
class UidRange:
    """The users of the owners: so many from ``first`` on."""

    first: int
    count: int = UID_COUNT

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    @property
    def last(self) -> int:
        """The last user in it."""
        return self.first + self.count - 1

    def overlaps(self, other: UidRange) -> bool:
        """Whether a user is in both."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The settings of all jobs.

    ``oom_score_adj`` is added to a job's score where the machine runs out of memory
    (proc_pid_oom_score_adj(5)); with ``io_uring`` jobs may use that; ``uids`` is None where
    the server finds a range that is free.
    """

    oom_score_adj: int = 200
    io_uring: bool = False
    uids: UidRange | None = None


DEFAULT = JobSettings()


def job_settings(content: Mapping[str, Any], source: Source) -> JobSettings:
    """The table in a file's content; raises ``ConfigurationInvalid``."""
    table = Table(source, (), content).table(TABLE, KEYS)
    return JobSettings(
        oom_score_adj=table.read("oom-score-adj", KEYS, DEFAULT.oom_score_adj),
        io_uring=table.read("io-uring", KEYS, DEFAULT.io_uring),
        uids=_uids(table),
    )


def _uids(table: Table) -> UidRange | None:
    first: int | None = table.read("first-uid", KEYS, None)
    count: int = table.read("uid-count", KEYS, UID_COUNT)
    if first is None:
        if "uid-count" in table.content:
            raise table.wrong("means something only beside first-uid", "uid-count")
        return None
    found = UidRange(first, count)
    if found.last > _LAST_UID:
        raise table.wrong(f"leaves no room for {count} users", "first-uid")
    return found
