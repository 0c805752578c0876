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
    Evidence,
    Standing,
    standing,
)
from jobworker.errors import ServiceUnavailable
from jobworker.jobs.lifecycle import Ended, Event, Extended, Lost, Refused, Started, StopAsked
from jobworker.model import Cause, End, StopRequest
from jobworker.spool.record import Deadline, Record, StartRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOOT = "this-boot"
START = StartRecord(pid=42, at=NOW, supervisor=41, supervisor_start=7, boot_id=BOOT)
BEFORE = replace(START, boot_id="an-earlier-boot")
STOP = StopRequest("alice", NOW)
DEADLINE = Deadline(60.0, "alice")
END = End(Cause.EXITED, finished_at=NOW, started_at=NOW, exit_code=0)

RECORDS: list[Record | None] = [
    None,
    *(
        Record(start, stop, deadline, end)
        for start, stop, deadline, end in product(
            (None, START, BEFORE), (None, STOP), (None, DEADLINE), (None, END)
        )
    ),
]
EVERYTHING = [
    Evidence(record, supervised, BOOT, same_boot, ours, told)
    for record in RECORDS
    for supervised, same_boot, ours, told in product((False, True), repeat=4)
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
    # A program that has begun is never told as refused: a retry would run it again.
    if record and record.start:
        assert kinds(stands)[0] is Started
        assert Refused not in kinds(stands)
    # A stop is passed on to a supervisor that may heed it, and to no job that has ended.
    if StopAsked in kinds(stands):
        assert seen.supervised
        assert not seen.told


def end_of(seen: Evidence) -> Event:
    (event,) = (event for event in standing(seen, NOW).events if isinstance(event, FINAL))
    return event


NOTHING = Record(None, None, None, None)
FOUND = Evidence(NOTHING, supervised=False, boot_id=BOOT, same_boot=True, ours=False, told=False)


@pytest.mark.parametrize("same_boot", [True, False])
def test_without_a_directory_it_was_never_started(same_boot: bool) -> None:  # noqa: FBT001 - a case
    """After a power cut the directory may have been lost, so it may have run."""
    seen = replace(FOUND, record=None, same_boot=same_boot)
    assert end_of(seen) == Lost(NEVER_STARTED, NOW, never_ran=same_boot)


@pytest.mark.parametrize(
    ("start", "why"), [(None, NEVER_STARTED), (START, KILLED), (BEFORE, RESTARTED)]
)
def test_without_a_supervisor_and_an_end_it_is_lost(start: StartRecord | None, why: str) -> None:
    assert end_of(replace(FOUND, record=replace(NOTHING, start=start))) == Lost(why, NOW)


def test_a_start_of_our_own_that_was_not_confirmed_can_be_tried_again() -> None:
    event = end_of(replace(FOUND, ours=True))
    assert isinstance(event, Refused)
    assert isinstance(event.error, ServiceUnavailable)


def test_a_running_job_goes_on_with_its_time_and_its_stop() -> None:
    extended = replace(NOTHING, start=START, deadline=DEADLINE)
    running = replace(FOUND, record=extended, supervised=True)
    assert kinds(standing(running, NOW)) == [Started, Extended]
    stopping = replace(running, record=replace(extended, stop=STOP))
    assert standing(stopping, NOW).events == (Started(42, NOW), StopAsked(STOP))
