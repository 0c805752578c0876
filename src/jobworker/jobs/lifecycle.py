"""The life of a job as one pure step: ``step(job, event) -> (job, effects)``.

Every pair of status and event stands in one table, so that no order of events is
left to chance: a stop may cross an exit, a record may arrive twice after a restart.
The caller (``controller``) carries the effects out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobworker.errors import (
    JobNotRunning,
    JobWorkerError,
    NoDeadline,
    ServiceUnavailable,
    StorageFull,
    StorageUnavailable,
)
from jobworker.model import (
    Cause,
    Completed,
    End,
    Failed,
    Final,
    Job,
    Queued,
    Running,
    SignalRequest,
    Starting,
    Status,
    Stopped,
    Stopping,
    StopRequest,
    time_text,
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """There is room for a job that had to queue."""


@dataclass(frozen=True, slots=True)
class Started:
    """The supervisor saw the program's exec succeed."""

    pid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The program was not executed; ``error`` says why."""

    error: JobWorkerError
    at: datetime


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A user who may do so asked for the job to be stopped."""

    stop: StopRequest


@dataclass(frozen=True, slots=True)
class SignalAsked:
    """A user who may do so asked for a signal to be sent to the program."""

    signal: SignalRequest


@dataclass(frozen=True, slots=True)
class Extended:
    """The supervisor was told to let a running job go on for ``timeout`` seconds from its start."""

    timeout: float
    by: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The supervisor's exit record is durable."""

    end: End


@dataclass(frozen=True, slots=True)
class Lost:
    """The supervisor is gone and left no exit record.

    ``never_ran`` is true where it is certain that the program was not executed.
    """

    why: str
    at: datetime
    never_ran: bool = False


Event = Admitted | Started | Refused | StopAsked | SignalAsked | Extended | Ended | Lost


@dataclass(frozen=True, slots=True)
class DeliverStop:
    """The effect that tells the supervisor to stop the job."""

    stop: StopRequest


@dataclass(frozen=True, slots=True)
class Finalize:
    """The effect of a final status: wakes the callers that wait, and archives the job."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """The effect that removes every trace of a job that never ran; ``error`` says why."""

    error: JobWorkerError


@dataclass(frozen=True, slots=True)
class Requeue:
    """The effect that puts a job back where it waited; ``error`` says what it lacked.

    With ``pause`` others lack it, too.
    """

    error: JobWorkerError
    pause: bool = True


Effect = DeliverStop | Finalize | RollBack | Requeue
Step = tuple[Job, tuple[Effect, ...]]


_NEVER_RAN = {"executed": "never"}


def never_ran(job: Job) -> bool:
    """Whether a job was lost, and it is certain that its program was not executed."""
    return job.end is not None and job.end.cause is Cause.LOST and job.end.evidence == _NEVER_RAN


def final_status(end: End) -> Final:
    """The final status that an end amounts to."""
    if end.cause is Cause.STOPPED:
        return Stopped(end)
    if end.cause is Cause.EXITED and end.exit_code == 0:
        return Completed(end)
    return Failed(end)


def _ignore(job: Job, _event: Event) -> Step:
    return job, ()


def _admit(job: Job, _event: Admitted) -> Step:
    return replace(job, status=Starting(acknowledged=True)), ()


def _run(job: Job, event: Started) -> Step:
    timeout = job.terms.limits.timeout
    deadline = None if timeout is None else event.at + timedelta(seconds=timeout)
    return replace(job, status=Running(event.at, event.pid, deadline)), ()


def _run_stopping(job: Job, event: Started) -> Step:
    assert isinstance(job.status, Stopping)
    return replace(job, status=replace(job.status, started_at=event.at, pid=event.pid)), ()


_OF_THE_DISK = (StorageFull, StorageUnavailable)
"""Errors that say nothing of a job, and will not last."""


def _refuse(job: Job, event: Refused) -> Step:
    """Rolls the job back, as nobody has been told of it yet, unless it had to queue.

    One that had to was accepted, so what the disk lacks now is waited for.
    """
    status = job.status
    if isinstance(status, Starting | Stopping) and not status.acknowledged:
        return job, (RollBack(event.error),)
    if isinstance(event.error, _OF_THE_DISK):
        if isinstance(status, Stopping):
            return _stop_queued(job, StopAsked(status.stop))
        return replace(job, status=Queued()), (Requeue(event.error),)
    end = End(
        Cause.START_FAILED,
        finished_at=event.at,
        detail=str(event.error),
        evidence={"code": event.error.code},
    )
    return replace(job, status=Failed(end)), (Finalize(),)


def _stop_queued(job: Job, event: StopAsked) -> Step:
    """Ends the job at once, as it has no process."""
    stop = event.stop
    end = End(
        Cause.STOPPED,
        finished_at=stop.at,
        stopped_by=stop.by,
        evidence={"by": stop.by, "at": time_text(stop.at), "grace": stop.grace},
    )
    return replace(job, status=Stopped(end)), (Finalize(),)


def _stop(job: Job, event: StopAsked) -> Step:
    acknowledged = not isinstance(job.status, Starting) or job.status.acknowledged
    status = Stopping(event.stop, job.started_at, job.pid, acknowledged)
    return replace(job, status=status), (DeliverStop(event.stop),)


def _stop_sooner(job: Job, event: StopAsked) -> Step:
    """Applies a second stop only where it leaves the job less time than the first."""
    assert isinstance(job.status, Stopping)
    if _deadline(event.stop) >= _deadline(job.status.stop):
        return job, ()
    return replace(job, status=replace(job.status, stop=event.stop)), (DeliverStop(event.stop),)


def _deadline(stop: StopRequest) -> float:
    return stop.at.timestamp() + stop.grace


def _not_running(_job: Job, _event: StopAsked | SignalAsked | Extended) -> Step:
    raise JobNotRunning


def _signal(job: Job, _event: SignalAsked) -> Step:
    """Changes nothing: the signal's effect is up to the program."""
    if job.pid is None:
        raise JobNotRunning(hint="its program has not been started yet")
    return job, ()


def _extend(job: Job, event: Extended) -> Step:
    assert isinstance(job.status, Running)
    if job.status.deadline is None:
        raise NoDeadline
    deadline = job.status.started_at + timedelta(seconds=event.timeout)
    return replace(job, status=replace(job.status, deadline=deadline)), ()


def _end(job: Job, event: Ended) -> Step:
    return replace(job, status=final_status(event.end)), (Finalize(),)


def _lose(job: Job, event: Lost) -> Step:
    end = End(
        Cause.LOST,
        finished_at=event.at,
        started_at=job.started_at,
        detail=event.why,
        evidence=_NEVER_RAN if event.never_ran else {},
    )
    return replace(job, status=Failed(end)), (Finalize(),)


def _lose_start(job: Job, event: Lost) -> Step:
    """Has a job that never began wait once more, where it was accepted as one that waits."""
    assert isinstance(job.status, Starting)
    if not (event.never_ran and job.status.acknowledged):
        return _lose(job, event)
    return replace(job, status=Queued()), (Requeue(ServiceUnavailable(event.why), pause=False),)


def _lose_stopping(job: Job, event: Lost) -> Step:
    """Ends a job that never began as stopped, as it is."""
    assert isinstance(job.status, Stopping)
    return _stop_queued(job, StopAsked(job.status.stop)) if event.never_ran else _lose(job, event)


Handler = Callable[[Job, Any], Step]

_FINAL: dict[type[Event], Handler] = {
    Admitted: _ignore,
    Started: _ignore,
    Refused: _ignore,
    StopAsked: _not_running,
    SignalAsked: _not_running,
    Extended: _not_running,
    Ended: _ignore,
    Lost: _ignore,
}

TRANSITIONS: dict[type[Status], dict[type[Event], Handler]] = {
    Queued: {
        Admitted: _admit,
        Started: _ignore,
        Refused: _refuse,
        StopAsked: _stop_queued,
        SignalAsked: _signal,
        Extended: _not_running,
        Ended: _ignore,
        Lost: _lose,
    },
    Starting: {
        Admitted: _ignore,
        Started: _run,
        Refused: _refuse,
        StopAsked: _stop,
        SignalAsked: _signal,
        Extended: _not_running,
        Ended: _end,
        Lost: _lose_start,
    },
    Running: {
        Admitted: _ignore,
        Started: _ignore,
        Refused: _ignore,
        StopAsked: _stop,
        SignalAsked: _signal,
        Extended: _extend,
        Ended: _end,
        Lost: _lose,
    },
    Stopping: {
        Admitted: _ignore,
        Started: _run_stopping,
        Refused: _refuse,
        StopAsked: _stop_sooner,
        SignalAsked: _signal,
        Extended: _not_running,
        Ended: _end,
        Lost: _lose_stopping,
    },
    Completed: _FINAL,
    Failed: _FINAL,
    Stopped: _FINAL,
}


def step(job: Job, event: Event) -> Step:
    """Applies ``event`` to ``job``; raises ``JobNotRunning`` where it is too late for that.

    Raises ``NoDeadline`` where a job without a time limit is given more time.
    """
    return TRANSITIONS[type(job.status)][type(event)](job, event)
