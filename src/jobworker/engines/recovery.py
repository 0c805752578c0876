"""Where a job stands whose supervisor another server, or a spawner now dead, had started."""

from __future__ import annotations

import os

from jobworker.spool import StartRecord
from jobworker.supervisor import records


def why_lost(start: StartRecord | None) -> str:
    """Why there is no exit record, where there is none and nobody to write one."""
    if start is None:
        return "the server stopped before the program was started"
    if start.boot_id != records.boot_id():
        return "the machine restarted"
    return "its supervisor was killed"


def find_supervisor(start: StartRecord | None) -> int | None:
    """A pidfd of the supervisor, or None where it cannot be told from a stranger.

    A PID may have been given to another process since. Start time and boot ID are
    compared after the pidfd is open: from then on it means one process only.
    """
    if start is None or start.boot_id != records.boot_id():
        return None
    try:
        pidfd = os.pidfd_open(start.supervisor)
    except ProcessLookupError:
        return None
    try:
        stat = records.read_text(f"/proc/{start.supervisor}/stat")
        same = records.process_identity(stat) == (start.supervisor, start.supervisor_start)
    except (FileNotFoundError, ProcessLookupError):
        same = False
    if not same:
        os.close(pidfd)
        return None
    return pidfd
