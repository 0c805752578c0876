"""Supervisors as the server finds them: which process is one, and how it is told to look."""

from __future__ import annotations

import os
import signal

from jobworker.spool.record import LaunchRecord, StartRecord
from jobworker.supervisor import records


def find_supervisor(start: StartRecord | LaunchRecord | None) -> int | None:
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


def notify(start: StartRecord | LaunchRecord | None) -> None:
    """Makes a supervisor look at its record; one that is just starting will anyway."""
    send(start, signal.SIGTERM)


def kill(start: StartRecord | LaunchRecord | None) -> None:
    """Kills a supervisor, and with it its job: by the kernel, or by the spawner that sees it."""
    send(start, signal.SIGKILL)


def send(start: StartRecord | LaunchRecord | None, number: signal.Signals) -> None:
    """Sends a signal to a supervisor, and to nobody else."""
    pidfd = find_supervisor(start)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return  # it has ended by itself
    finally:
        os.close(pidfd)
