"""The standing of a job whose supervisor another server, or a spawner now dead, had started.

``standing`` decides; ``LocalEngine`` looks, asks it, and does what it says.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobworker.jobs.lifecycle import Ended, Event, Extended, Lost, Started, StopAsked
from jobworker.spool.record import Record
from jobworker.supervisor import records

NEVER_STARTED = "the server stopped before the program was started"
UNCONFIRMED = "its supervisor was killed before it had noted the start: the program may have run"
KILLED = "its supervisor was killed"
RESTARTED = "the machine restarted"

_BOOT = "boot"
"""The name of the file in the state directory that has the boot ID of the last server."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a job when it is looked for.

    ``record`` is None where it has no directory; ``supervised`` where somebody holds that
    directory's lock. ``boot_id`` is this boot's, ``same_boot`` whether the server before ran
    in it. ``told`` where the manager knows of the job's end: it takes no other, and no stop.
    No order for it is under way any more: whoever had one is gone, or has carried it out.
    """

    record: Record | None
    supervised: bool
    boot_id: str
    same_boot: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The events to tell the manager, in this order, and whether the job still has a supervisor.

    ``unbegun`` where no supervisor has come as far as to execute the program: an order for
    it that is given again, in place of the last event, makes it run once.
    """

    events: tuple[Event, ...]
    supervised: bool
    unbegun: bool = False


def standing(seen: Evidence, now: datetime) -> Standing:
    """The standing of a job by the evidence. Pure.

    With a supervisor it goes on, and its stop, if one was asked for, with it. Without one,
    what its record says of its end is the truth. Where that says nothing, it never began or
    it is lost.
    """
    record = seen.record or _NO_RECORD
    events: list[Event] = []
    if record.start:
        events.append(Started(record.start.pid, record.start.at))
    if record.deadline and not record.end and not record.stop:
        events.append(Extended(record.deadline.timeout, record.deadline.by))
    unbegun = False
    if seen.told:
        pass
    elif record.end:
        events.append(Ended(record.end))
    elif not seen.supervised:
        unbegun = record.supervisor is None and record.refusal is None and seen.same_boot
        lost = _lost(record, now, seen)
        if lost.never_ran and record.stop:
            events.append(StopAsked(record.stop))  # it must not be started once more
        events.append(lost)
    elif record.stop:
        events.append(StopAsked(record.stop))
    return Standing(tuple(events), seen.supervised, unbegun)


_NO_RECORD = Record(start=None, stop=None, deadline=None, end=None)


def _lost(record: Record, now: datetime, seen: Evidence) -> Lost:
    """The loss of a job whose end is not on record: whether it began may not be known.

    After a restart of the machine what is not there may have been, as of directories and
    records the last section alone is sure to be on the disk before the power goes.
    """
    if record.refusal:
        why = f"its program was not executed: {os.strerror(record.refusal.errno)}"
        return Lost(why, now, never_ran=True)
    if record.supervisor is None:
        return Lost(NEVER_STARTED, now, never_ran=True) if seen.same_boot else Lost(RESTARTED, now)
    if record.supervisor.boot_id != seen.boot_id:
        return Lost(RESTARTED, now)
    return Lost(KILLED if record.start else UNCONFIRMED, now)


def same_boot(state: Path) -> bool:
    """Whether the server before this one ran since the machine was last started.

    If not, a missing directory may have been lost with the power. Notes this boot for
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
