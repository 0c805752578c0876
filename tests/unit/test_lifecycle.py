from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from jobworker import lifecycle
from jobworker.errors import JobNotRunning, StartFailed
from jobworker.lifecycle import (
    DeliverStop,
    Ended,
    Event,
    Lost,
    Refused,
    Settle,
    Started,
    StopAsked,
    Withdraw,
    step,
)
from jobworker.model import (
    Cause,
    Completed,
    End,
    Failed,
    Job,
    JobId,
    Running,
    Spec,
    Starting,
    Status,
    Stopped,
    Stopping,
    StopRequest,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)
REFUSAL = StartFailed()
EXITED = End(Cause.EXITED, finished_at=LATER, started_at=NOW, exit_code=0)
STOP = StopRequest("alice", NOW, grace=10)

JOB = Job(JobId.new(), "alice", Spec("/bin/true"), Starting(), NOW, "full", "here")
RUNNING = Running(NOW, 42)
STATUSES: dict[type[Status], Status] = {
    Starting: Starting(),
    Running: RUNNING,
    Stopping: Stopping(STOP, NOW, 42),
    Completed: Completed(EXITED),
    Failed: Failed(replace(EXITED, exit_code=3)),
    Stopped: Stopped(replace(EXITED, cause=Cause.STOPPED)),
}
EVENTS: dict[type[Event], Event] = {
    Started: Started(42, NOW),
    Refused: Refused(REFUSAL),
    StopAsked: StopAsked(replace(STOP, grace=0)),
    Ended: Ended(EXITED),
    Lost: Lost("its supervisor was killed", LATER),
}
LIVE = (Starting, Running, Stopping)

LOST = End(Cause.LOST, LATER, started_at=NOW, detail="its supervisor was killed")

EXPECTED: dict[tuple[type[Status], type[Event]], tuple[Status, tuple[object, ...]] | None] = {
    (Starting, Started): (RUNNING, ()),
    (Starting, Refused): (Starting(), (Withdraw(REFUSAL),)),
    (Starting, StopAsked): (
        Stopping(replace(STOP, grace=0)),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Starting, Ended): (Completed(EXITED), (Settle(),)),
    (Starting, Lost): (Failed(replace(LOST, started_at=None)), (Settle(),)),
    (Running, Started): (RUNNING, ()),
    (Running, Refused): (RUNNING, ()),
    (Running, StopAsked): (
        Stopping(replace(STOP, grace=0), NOW, 42),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Running, Ended): (Completed(EXITED), (Settle(),)),
    (Running, Lost): (Failed(LOST), (Settle(),)),
    (Stopping, Started): (Stopping(STOP, NOW, 42), ()),
    (Stopping, Refused): (Stopping(STOP, NOW, 42), (Withdraw(REFUSAL),)),
    (Stopping, StopAsked): (
        Stopping(replace(STOP, grace=0), NOW, 42),
        (DeliverStop(replace(STOP, grace=0)),),
    ),
    (Stopping, Ended): (Completed(EXITED), (Settle(),)),
    (Stopping, Lost): (Failed(LOST), (Settle(),)),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_status(status: type[Status], event: type[Event]) -> None:
    job = replace(JOB, status=STATUSES[status])
    if status not in LIVE and event is StopAsked:
        with pytest.raises(JobNotRunning):
            step(job, EVENTS[event])
        return
    after, effects = step(job, EVENTS[event])
    expected = EXPECTED.get((status, event), (STATUSES[status], ()))
    assert expected is not None
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
