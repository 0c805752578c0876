"""The life of a job as one pure step: ``step(job, event) -> (job, effects)``.

Every pair of status and event stands in one table, so that no order of events is
left to chance: a stop may cross an exit, a record may arrive twice after a restart.
The caller (``manager.py``) carries the effects out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jobworker.errors import JobNotRunning, JobWorkerError
from jobworker.model import (
    Cause,
    Completed,
    End,
    Failed,
    Final,
    Job,
    Running,
    Starting,
    Status,
    Stopped,
    Stopping,
    StopRequest,
)


@dataclass(frozen=True, slots=True)
class Started:
    """The supervisor saw the program's exec succeed."""

    pid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The supervisor could not execute the program, so there never was a job."""

    error: JobWorkerError


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody who may do so asked for the job to be stopped."""

    stop: StopRequest


@dataclass(frozen=True, slots=True)
class Ended:
    """The supervisor's exit record is durable."""

    end: End


@dataclass(frozen=True, slots=True)
class Lost:
    """The supervisor is gone and left no exit record."""

    why: str
    at: datetime


Event = Started | Refused | StopAsked | Ended | Lost


@dataclass(frozen=True, slots=True)
class DeliverStop:
    """Tell the supervisor to stop the job."""

    stop: StopRequest


@dataclass(frozen=True, slots=True)
class Settle:
    """The job is final: wake who waits for it, and move it to the archive."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove every trace of a job that never ran; ``error`` says why it did not."""

    error: JobWorkerError


Effect = DeliverStop | Settle | Withdraw
Step = tuple[Job, tuple[Effect, ...]]


def final_status(end: End) -> Final:
    """Which final status an end amounts to."""
    if end.cause is Cause.STOPPED:
        return Stopped(end)
    if end.cause is Cause.EXITED and end.exit_code == 0:
        return Completed(end)
    return Failed(end)


def _ignore(job: Job, _event: Event) -> Step:
    return job, ()


def _run(job: Job, event: Started) -> Step:
    return replace(job, status=Running(event.at, event.pid)), ()


def _run_stopping(job: Job, event: Started) -> Step:
    assert isinstance(job.status, Stopping)
    return replace(job, status=replace(job.status, started_at=event.at, pid=event.pid)), ()


def _withdraw(job: Job, event: Refused) -> Step:
    return job, (Withdraw(event.error),)


def _stop(job: Job, event: StopAsked) -> Step:
    status = Stopping(event.stop, job.started_at, job.pid)
    return replace(job, status=status), (DeliverStop(event.stop),)


def _stop_sooner(job: Job, event: StopAsked) -> Step:
    """A second stop counts only where it leaves the job less time than the first."""
    assert isinstance(job.status, Stopping)
    if _deadline(event.stop) >= _deadline(job.status.stop):
        return job, ()
    return replace(job, status=replace(job.status, stop=event.stop)), (DeliverStop(event.stop),)


def _deadline(stop: StopRequest) -> float:
    return stop.at.timestamp() + stop.grace


def _refuse_stop(_job: Job, _event: StopAsked) -> Step:
    raise JobNotRunning


def _end(job: Job, event: Ended) -> Step:
    return replace(job, status=final_status(event.end)), (Settle(),)


def _lose(job: Job, event: Lost) -> Step:
    end = End(Cause.LOST, finished_at=event.at, started_at=job.started_at, detail=event.why)
    return replace(job, status=Failed(end)), (Settle(),)


Handler = Callable[[Job, Any], Step]

_FINAL: dict[type[Event], Handler] = {
    Started: _ignore,
    Refused: _ignore,
    StopAsked: _refuse_stop,
    Ended: _ignore,
    Lost: _ignore,
}

TRANSITIONS: dict[type[Status], dict[type[Event], Handler]] = {
    Starting: {Started: _run, Refused: _withdraw, StopAsked: _stop, Ended: _end, Lost: _lose},
    Running: {Started: _ignore, Refused: _ignore, StopAsked: _stop, Ended: _end, Lost: _lose},
    Stopping: {
        Started: _run_stopping,
        Refused: _withdraw,
        StopAsked: _stop_sooner,
        Ended: _end,
        Lost: _lose,
    },
    Completed: _FINAL,
    Failed: _FINAL,
    Stopped: _FINAL,
}


def step(job: Job, event: Event) -> Step:
    """Apply ``event`` to ``job``; raises ``JobNotRunning`` for the stop of an ended job."""
    return TRANSITIONS[type(job.status)][type(event)](job, event)
