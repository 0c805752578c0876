"""Where a job stands whose supervisor another server, or a spawner now dead, had started."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from jobworker.spool import StartRecord
from jobworker.supervisor import records

_BOOT = "boot"
"""Names the file in the state directory that has the boot ID of the last server."""


def same_boot(state: Path) -> bool:
    """Whether the server before this one ran since the machine was last started.

    Else a directory that is missing may have been lost with the power. Notes this boot for
    the server after this one; where the disk has no room for that, the answer is no.
    """
    file, now = state / _BOOT, records.boot_id()
    try:
        if file.read_text(encoding="ascii", errors="replace") == now:
            return True
    except FileNotFoundError:
        pass
    with contextlib.suppress(OSError):
        file.write_text(now, encoding="ascii")
    return False


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
