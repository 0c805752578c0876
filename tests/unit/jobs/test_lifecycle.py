from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from jobworker.errors import JobNotRunning, NoDeadline, StartFailed
from jobworker.jobs import lifecycle
from jobworker.jobs.lifecycle import (
    Admitted,
    DeliverStop,
    Ended,
    Event,
    Extended,
    Finalize,
    Lost,
    Refused,
    Requeue,
    RollBack,
    SignalAsked,
    Started,
    StopAsked,
    step,
)
from jobworker.model import (
    Cause,
    Completed,
    End,
    Failed,
    Job,
    JobId,
    Limits,
    Queued,
    Running,
    SignalRequest,
    Spec,
    Starting,
    Status,
    Stopped,
    Stopping,
    StopRequest,
    Terms,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)
REFUSAL = StartFailed()
EXITED = End(Cause.EXITED, finished_at=LATER, started_at=NOW, exit_code=0)
STOP = StopRequest("alice", NOW, grace=10)

TERMS = Terms(Limits(timeout=60))
JOB = Job(JobId.new(), "alice", Spec("/bin/true"), TERMS, Starting(), NOW, "full", "here")
DEADLINE = NOW + timedelta(seconds=60)
RUNNING = Running(NOW, 42, DEADLINE)
STATUSES: dict[type[Status], Status] = {
    Queued: Queued(),
    Starting: Starting(),
    Running: RUNNING,
    Stopping: Stopping(STOP, NOW, 42, acknowledged=False),
    Completed: Completed(EXITED),
    Failed: Failed(replace(EXITED, exit_code=3)),
    Stopped: Stopped(replace(EXITED, cause=Cause.STOPPED)),
}
EVENTS: dict[type[Event], Event] = {
    Admitted: Admitted(),
    Started: Started(42, NOW),
    Refused: Refused(REFUSAL, LATER),
    StopAsked: StopAsked(replace(STOP, grace=0)),
    SignalAsked: SignalAsked(SignalRequest(1, "alice", NOW)),
    Extended: Extended(600, "alice"),
    Ended: Ended(EXITED),
    Lost: Lost("its supervisor was killed", LATER),
}
REFUSED = [
    (status, event)
    for status in STATUSES
    for event in (StopAsked, SignalAsked, Extended)
    if status in (Completed, Failed, Stopped)
    or (event is Extended and status is not Running)
    or (event is SignalAsked and status in (Queued, Starting))
]

NOT_STARTED = End(
    Cause.START_FAILED,
    LATER,
    detail="the job could not be started",
    evidence={"code": "start_failed"},
)
WITHDRAWN = End(
    Cause.STOPPED,
    NOW,
    stopped_by="alice",
    evidence={"by": "alice", "at": "2026-01-01T00:00:00Z", "grace": 0},
)
LOST = End(Cause.LOST, LATER, started_at=NOW, detail="its supervisor was killed")

EXPECTED: dict[tuple[type[Status], type[Event]], tuple[Status, tuple[object, ...]]] = {
    (Queued, Admitted): (Starting(acknowledged=True), ()),
    (Queued, Refused): (Failed(NOT_STARTED), (Finalize(),)),
    (Queued, StopAsked): (Stopped(WITHDRAWN), (Finalize(),)),
    (Queued, Lost): (Failed(replace(LOST, started_at=None)), (Finalize(),)),
    (Starting, Started): (RUNNING, ()),
    (Starting, Refused): (Starting(), (RollBack(REFUSAL),)),
    (Starting, StopAsked): (
        Stopping(replace(STOP, grace=0), acknowledged=False),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Starting, Ended): (Completed(EXITED), (Finalize(),)),
    (Starting, Lost): (Failed(replace(LOST, started_at=None)), (Finalize(),)),
    (Running, StopAsked): (
        Stopping(replace(STOP, grace=0), NOW, 42),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Running, Extended): (Running(NOW, 42, NOW + timedelta(seconds=600)), ()),
    (Running, Ended): (Completed(EXITED), (Finalize(),)),
    (Running, Lost): (Failed(LOST), (Finalize(),)),
    (Stopping, Refused): (STATUSES[Stopping], (RollBack(REFUSAL),)),
    (Stopping, StopAsked): (
        Stopping(replace(STOP, grace=0), NOW, 42, acknowledged=False),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Stopping, Ended): (Completed(EXITED), (Finalize(),)),
    (Stopping, Lost): (Failed(LOST), (Finalize(),)),
}
"""What does not stand here changes nothing."""


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_status(status: type[Status], event: type[Event]) -> None:
    job = replace(JOB, status=STATUSES[status])
    if (status, event) in REFUSED:
        with pytest.raises(JobNotRunning):
            step(job, EVENTS[event])
        return
    after, effects = step(job, EVENTS[event])
    expected = EXPECTED.get((status, event), (STATUSES[status], ()))
    assert (after.status, effects) == expected


def test_the_table_is_total() -> None:
    assert set(lifecycle.TRANSITIONS) == set(get_args(Status)) == set(STATUSES)
    for row in lifecycle.TRANSITIONS.values():
        assert set(row) == set(get_args(Event)) == set(EVENTS)


def test_a_later_stop_that_gives_more_time_changes_nothing() -> None:
    job = replace(JOB, status=Stopping(STOP, NOW, 42))
    longer = StopAsked(StopRequest("bob", NOW, grace=60))
    assert step(job, longer) == (job, ())


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (EXITED, Completed),
        (replace(EXITED, exit_code=3), Failed),
        (replace(EXITED, exit_code=None, cause=Cause.SIGNALED, signal="SIGKILL"), Failed),
        (replace(EXITED, cause=Cause.STOPPED), Stopped),
        (replace(EXITED, cause=Cause.STOPPED, exit_code=3), Stopped),
        (LOST, Failed),
    ],
)
def test_what_an_end_amounts_to(end: End, status: type[Status]) -> None:
    assert type(lifecycle.final_status(end)) is status


def test_a_queued_job_whose_program_is_missing_is_a_failed_job() -> None:
    """Its start was acknowledged, so it must not vanish; also where it is being stopped."""
    for status in (Starting(acknowledged=True), Stopping(STOP, acknowledged=True)):
        job = replace(JOB, status=status)
        after, effects = step(job, Refused(REFUSAL, LATER))
        assert (after.status, effects) == (Failed(NOT_STARTED), (Finalize(),))
        assert after.reason == "could not be started: the job could not be started"


def test_without_a_time_limit_there_is_no_deadline_to_move() -> None:
    job = replace(JOB, spec=Spec("/bin/true"), status=Running(NOW, 42))
    with pytest.raises(NoDeadline):
        step(job, Extended(600, "alice"))


def test_a_job_that_certainly_never_ran_says_so() -> None:
    cut, _ = step(JOB, Lost("the server stopped", LATER, never_ran=True))
    assert cut.end is not None
    assert cut.end.evidence == {"executed": "never"}
    assert lifecycle.never_ran(cut)
    for event in (Lost("its supervisor was killed", LATER), Ended(EXITED), Started(42, NOW)):
        assert not lifecycle.never_ran(step(JOB, event)[0])


def test_t75_an_accepted_job_that_never_began_waits_once_more() -> None:
    never = Lost("the server stopped", LATER, never_ran=True)
    accepted = replace(JOB, status=Starting(acknowledged=True))
    job, (effect,) = step(accepted, never)
    assert job.status == Queued()
    assert isinstance(effect, Requeue)
    assert not effect.pause  # others lack nothing
    job, effects = step(accepted, replace(never, never_ran=False))
    assert (type(job.status), effects) == (Failed, (Finalize(),))


def test_a_job_that_was_to_be_stopped_and_never_began_is_stopped() -> None:
    stopping, _ = step(replace(JOB, status=Starting(acknowledged=True)), StopAsked(STOP))
    job, effects = step(stopping, Lost("the server stopped", LATER, never_ran=True))
    assert (type(job.status), effects) == (Stopped, (Finalize(),))
