"""Where a job stands that is found again: every combination of what may be seen of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from jobworker.engines.local.recovery import (
    KILLED,
    NEVER_STARTED,
    RESTARTED,
    UNCONFIRMED,
    Evidence,
    Standing,
    standing,
)
from jobworker.jobs.lifecycle import Ended, Event, Extended, Lost, Refused, Started, StopAsked
from jobworker.model import Cause, End, StopRequest
from jobworker.spool.record import (
    Deadline,
    LaunchRecord,
    Record,
    RefusalRecord,
    StartRecord,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOOT = "this-boot"
START = StartRecord(pid=42, at=NOW, supervisor=41, supervisor_start=7, boot_id=BOOT)
BEFORE = replace(START, boot_id="an-earlier-boot")
STOP = StopRequest("alice", NOW)
DEADLINE = Deadline(60.0, "alice")
END = End(Cause.EXITED, finished_at=NOW, started_at=NOW, exit_code=0)

LAUNCH = LaunchRecord(supervisor=41, supervisor_start=7, boot_id=BOOT)
LAUNCH_BEFORE = replace(LAUNCH, boot_id="an-earlier-boot")
REFUSAL = RefusalRecord("exec", 2, "missing")

RECORDS: list[Record | None] = [
    None,
    *(
        Record(start, stop, deadline, end, launch=launch, refusal=refusal)
        for (launch, start), stop, deadline, end, refusal in product(
            (
                (None, None),
                (LAUNCH, None),
                (LAUNCH_BEFORE, None),
                (LAUNCH, START),
                (LAUNCH_BEFORE, BEFORE),
            ),
            (None, STOP),
            (None, DEADLINE),
            (None, END),
            (None, REFUSAL),
        )
        if not (refusal and start)
    ),
]
EVERYTHING = [
    Evidence(record, supervised, BOOT, same_boot, told)
    for record in RECORDS
    for supervised, same_boot, told in product((False, True), repeat=3)
    if record is not None or not supervised  # the lock is that of a directory
]
FINAL = (Ended, Lost, Refused)


def kinds(stands: Standing) -> list[type[Event]]:
    return [type(event) for event in stands.events]


@pytest.mark.parametrize("seen", EVERYTHING)
def test_every_combination(seen: Evidence) -> None:
    """What must hold whatever is seen; the cases below say which end it is."""
    stands = standing(seen, NOW)
    ends = [event for event in stands.events if isinstance(event, FINAL)]
    record = seen.record
    assert stands.supervised == seen.supervised
    # An end is told once, and none is made up of a job that may go on.
    assert len(ends) <= (not seen.told)
    if not seen.told:
        assert bool(ends) == (not seen.supervised or bool(record and record.end))
    # What a supervisor recorded is the truth; nothing else is told in its place.
    if record and record.end:
        assert all(event == Ended(END) for event in ends)
        assert not {StopAsked, Extended} & set(kinds(stands))
    # A program that may have begun is never told as refused: a retry would run it again.
    begun = record and record.supervisor and not record.refusal
    never = [event for event in ends if isinstance(event, Lost) and event.never_ran]
    if begun or (not seen.same_boot and not (record and record.refusal)):
        assert not never
        assert not stands.unbegun
    assert not stands.unbegun or never
    assert Refused not in kinds(stands)
    if record and record.start:
        assert kinds(stands)[0] is Started
    # A stop is passed on to a supervisor that may heed it, and to no job that has ended. What
    # never began is told to be stopped, so that nobody starts it once more.
    if StopAsked in kinds(stands):
        assert seen.supervised or never
        assert not seen.told
    if never and record and record.stop:
        assert kinds(stands)[-2:] == [StopAsked, Lost]


def end_of(seen: Evidence) -> Event:
    (event,) = (event for event in standing(seen, NOW).events if isinstance(event, FINAL))
    return event


NOTHING = Record(None, None, None, None)
FOUND = Evidence(NOTHING, supervised=False, boot_id=BOOT, same_boot=True, told=False)


@pytest.mark.parametrize("record", [None, NOTHING])
def test_t80_what_no_supervisor_came_to_never_began(record: Record | None) -> None:
    """After a power cut a directory or a section may have been lost, so it may have run."""
    seen = replace(FOUND, record=record)
    assert end_of(seen) == Lost(NEVER_STARTED, NOW, never_ran=True)
    assert standing(seen, NOW).unbegun
    assert end_of(replace(seen, same_boot=False)) == Lost(RESTARTED, NOW)


@pytest.mark.parametrize(
    ("launch", "start", "why"),
    [
        (LAUNCH, None, UNCONFIRMED),
        (LAUNCH_BEFORE, None, RESTARTED),
        (LAUNCH, START, KILLED),
        (LAUNCH_BEFORE, BEFORE, RESTARTED),
        (None, START, KILLED),  # by a supervisor of the version before
    ],
)
def test_t77_what_may_have_run_is_lost(
    launch: LaunchRecord | None, start: StartRecord | None, why: str
) -> None:
    """A key that is bound to it stays so: a retry would run it again."""
    record = replace(NOTHING, launch=launch, start=start)
    assert end_of(replace(FOUND, record=record)) == Lost(why, NOW)


def test_a_refusal_that_nobody_heard_is_believed() -> None:
    record = replace(NOTHING, launch=LAUNCH, refusal=REFUSAL)
    why = "its program was not executed: No such file or directory"
    assert end_of(replace(FOUND, record=record)) == Lost(why, NOW, never_ran=True)


def test_a_running_job_goes_on_with_its_time_and_its_stop() -> None:
    extended = replace(NOTHING, start=START, deadline=DEADLINE)
    running = replace(FOUND, record=extended, supervised=True)
    assert kinds(standing(running, NOW)) == [Started, Extended]
    stopping = replace(running, record=replace(extended, stop=STOP))
    assert standing(stopping, NOW).events == (Started(42, NOW), StopAsked(STOP))
