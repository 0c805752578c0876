"""The standing of a job whose supervisor another server, or a spawner now dead, had started.

``standing`` decides; ``LocalEngine`` looks, asks it, and does what it says.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobworker.errors import ServiceUnavailable
from jobworker.jobs.lifecycle import Ended, Event, Extended, Lost, Refused, Started, StopAsked
from jobworker.spool.record import Record, StartRecord
from jobworker.supervisor import records

NEVER_STARTED = "the server stopped before the program was started"
KILLED = "its supervisor was killed"
RESTARTED = "the machine restarted"

_BOOT = "boot"
"""The name of the file in the state directory that has the boot ID of the last server."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a job when it is looked for.

    ``record`` is None where it has no directory; ``supervised`` where somebody holds that
    directory's lock. ``boot_id`` is this boot's, ``same_boot`` whether the server before ran
    in it. ``ours`` where this server ordered the start, and ``told`` where the manager knows
    of the job's end: it takes no other, and no stop.
    """

    record: Record | None
    supervised: bool
    boot_id: str
    same_boot: bool
    ours: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The events to tell the manager, in this order, and whether the job still has a supervisor."""

    events: tuple[Event, ...]
    supervised: bool


def standing(seen: Evidence, now: datetime) -> Standing:
    """The standing of a job by the evidence. Pure.

    There are four cases. 1: without a directory it was never started. 2: with a supervisor
    it goes on, and its stop, if one was asked for, with it. 3: without one, what its record
    says of its end is the truth. 4: where that says nothing, a start that this server ordered
    and that was not confirmed is refused, for it can be tried again; any other is lost.
    """
    record = seen.record
    if record is None:
        lost = Lost(NEVER_STARTED, now, never_ran=seen.same_boot)
        return Standing(() if seen.told else (lost,), supervised=False)
    events: list[Event] = []
    if record.start:
        events.append(Started(record.start.pid, record.start.at))
    if record.deadline and not record.end and not record.stop:
        events.append(Extended(record.deadline.timeout, record.deadline.by))
    if seen.told:
        return Standing(tuple(events), seen.supervised)
    if record.end:
        events.append(Ended(record.end))
    elif not seen.supervised:
        events.append(_outcome_without_end(seen, record.start, now))
    elif record.stop:
        events.append(StopAsked(record.stop))
    return Standing(tuple(events), seen.supervised)


def _outcome_without_end(seen: Evidence, start: StartRecord | None, now: datetime) -> Event:
    if seen.ours and start is None:
        why = "the spawner was killed before the start; try again"
        return Refused(ServiceUnavailable(why), now)
    if start is None:
        return Lost(NEVER_STARTED, now)
    return Lost(RESTARTED if start.boot_id != seen.boot_id else KILLED, now)


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
