"""Stops that the disk did not take: by the kernel alone, and told from memory.

A supervisor heeds a stop that stands in its record. Where that cannot be written, the
program is asked to end, and then the supervisor is killed: the job dies with it, as the first
process of its namespace, or as what its spawner then kills.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime

from jobworker.engines.local.signals import find_program
from jobworker.engines.local.supervisors import send
from jobworker.model import Cause, End, JobId, StopRequest, time_text
from jobworker.spool.record import StartRecord
from jobworker.spool.spool import Spool

log = logging.getLogger(__name__)


def stop_unrecorded(start: StartRecord, grace: float) -> None:
    """Sends SIGTERM to the program, and kills the job after the grace; at once without one."""
    if grace <= 0:
        send(start, signal.SIGKILL)
        return
    try:
        pidfd = find_program(start)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended by itself
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    except ProcessLookupError:
        return  # the same
    finally:
        os.close(pidfd)
    asyncio.get_running_loop().call_later(grace, send, start, signal.SIGKILL)


def stopped_by(end: End, stop: StopRequest) -> End:
    """The end of a job that was stopped without a record of it."""
    return replace(
        end,
        cause=Cause.STOPPED,
        stopped_by=stop.by,
        evidence={"by": stop.by, "at": time_text(stop.at), "grace": stop.grace},
    )


def end_of_unrecorded(spool: Spool, job_id: JobId, started: StartRecord | None) -> End:
    """The end of a job that was stopped so: of its record, where that has one and can be read."""
    try:
        end = spool.record(job_id).end
    except OSError as error:
        log.warning("cannot read the record of job %s: %s", job_id, error)
        end = None
    began = started.at if started else None
    return end or End(Cause.SIGNALED, datetime.now(UTC), started_at=began, signal="SIGKILL")
