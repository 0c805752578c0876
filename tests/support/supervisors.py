"""Find the spawner of a server, and the supervisor of a job that runs."""

from __future__ import annotations

import os
from pathlib import Path

from jobworker.supervisor import records
from support.jobd import Jobd


def supervisor_of(state: Path, job_id: str) -> int:
    """The PID of the supervisor of a job that has started."""
    directory = records.open_directory(str(state / "spool" / job_id))
    try:
        return int(dict(records.read(directory)[records.STARTED])["supervisor"])
    finally:
        os.close(directory)


def spawner_of(jobd: Jobd) -> int:
    """The server's one child."""
    (pid,) = children_of(jobd.pid)
    return pid


def children_of(pid: int) -> list[int]:
    """The children of a process that has one thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
