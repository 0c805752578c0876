"""Memory by PSS: what is shared with others counts by the share (smaps_rollup, proc(5)).

The server and the supervisors forbid inspection, so only root can read it.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
_MB = 1_000_000


@dataclass(frozen=True)
class PerJob:
    """Megabytes (10^6 bytes) of each part of what runs for the jobs."""

    supervisor: float
    program: float
    spawner: float

    @property
    def total(self) -> float:
        """What one more job takes."""
        return self.supervisor + self.program


def per_job(jobs: Iterable[dict[str, Any]]) -> PerJob:
    """The means over ``jobs``, which must all run and have one spawner."""
    programs = [int(job["pid"]) for job in jobs]
    supervisors = [_parent(pid) for pid in programs]
    spawners = {_parent(pid) for pid in supervisors}
    assert len(set(supervisors)) == len(programs), "one supervisor each"
    (spawner,) = spawners
    return PerJob(
        supervisor=statistics.mean(map(megabytes, supervisors)),
        program=statistics.mean(map(megabytes, programs)),
        spawner=megabytes(spawner),
    )


def megabytes(pid: int) -> float:
    """PSS of one process."""
    found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found, f"process {pid} has no memory"
    return int(found[1]) * 1024 / _MB


def _parent(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return int(after_name.split()[1])
