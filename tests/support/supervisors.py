"""Find the supervisor of a running job, from its record in the spool."""

from __future__ import annotations

import os
from pathlib import Path

from jobworker.supervisor import records


def supervisor_of(state: Path, job_id: str) -> int:
    """The PID of the supervisor of a job that has started."""
    directory = records.open_directory(str(state / "spool" / job_id))
    try:
        return int(dict(records.read(directory)[records.STARTED])["supervisor"])
    finally:
        os.close(directory)
