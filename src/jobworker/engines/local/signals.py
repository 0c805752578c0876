"""Sends a signal to the program of a job, and to nobody else."""

from __future__ import annotations

import logging
import os
import signal

from jobworker.engines.local.supervisors import find_supervisor
from jobworker.errors import JobNotRunning, ServiceUnavailable, reason_of
from jobworker.model import JobId, SignalRequest
from jobworker.spool.record import StartRecord
from jobworker.spool.spool import Spool
from jobworker.supervisor import records

log = logging.getLogger(__name__)


def send(spool: Spool, job_id: JobId, request: SignalRequest) -> None:
    """Notes who sends it, then sends it; raises ``JobNotRunning``, ``ServiceUnavailable``."""
    try:
        pidfd = find_program(spool.record(job_id).start)
        try:
            _note(spool, job_id, request)
            signal.pidfd_send_signal(pidfd, request.number)
        finally:
            os.close(pidfd)
    except (FileNotFoundError, ProcessLookupError):
        raise JobNotRunning from None  # it has ended by itself
    except OSError as error:
        raise ServiceUnavailable(f"cannot signal job {job_id}: {reason_of(error)}") from error


def _note(spool: Spool, job_id: JobId, request: SignalRequest) -> None:
    """Notes it before it is sent, as it may end the job; a failure does not stop the sending."""
    try:
        spool.note_signal(job_id, request)
    except OSError as error:
        log.warning("cannot note who sends job %s a signal: %s", job_id, error)


def find_program(start: StartRecord | None) -> int:
    """A pidfd of the program; raises ``ProcessLookupError`` where it has ended.

    The PID may have been given to another process since. As long as the supervisor lives,
    what has that PID and is its child belongs to the job, so its parent is looked at once
    the pidfd is open, and then whether the supervisor still lives.
    """
    supervisor = find_supervisor(start)
    if start is None or supervisor is None:
        raise ProcessLookupError
    try:
        pidfd = os.pidfd_open(start.pid)
        try:
            if not _is_child(start.pid, start.supervisor):
                raise ProcessLookupError
            signal.pidfd_send_signal(supervisor, 0)
        except BaseException:
            os.close(pidfd)
            raise
    finally:
        os.close(supervisor)
    return pidfd


def _is_child(pid: int, parent: int) -> bool:
    """Whether ``pid`` is a child of ``parent`` that has not ended (proc(5))."""
    state, found = records.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[:2]
    return state not in "ZX" and int(found) == parent
