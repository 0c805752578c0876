"""Bounds on the numbers of jobs by the time of their creation.

Lists are in the order of numbers, and so is every index that they follow; a time has to become
a range of numbers, or an old ``until`` would read all jobs since. Numbers grow with the time only
roughly: two starts may overtake each other, and a clock may be put back. So each block of numbers
has the earliest time in it, and the latest in all blocks before it: what follows from these holds
whatever the clock does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from jobworker.archive.prepared import Prepared
from jobworker.archive.tables import job_blocks as blocks
from jobworker.archive.tables import jobs
from jobworker.model import microseconds

SIZE = 512
"""Numbers in a block. A list reads so many jobs too much at most, and a bound is looked for among
one entry for so many. Never changed without a migration."""

_LAST = Prepared(
    select(blocks.c.first, blocks.c.earliest).where(
        blocks.c.first == select(func.max(blocks.c.first)).scalar_subquery()
    )
)
_FORGET_LATER = delete(blocks).where(blocks.c.first > bindparam("begin"))
_SET_BACK = (
    update(blocks)
    .where(blocks.c.first == bindparam("begin"))
    .values(
        earliest=case(
            (blocks.c.earliest > bindparam("time"), bindparam("time")), else_=blocks.c.earliest
        )
    )
)
_BEFORE = (
    select(blocks.c.first, blocks.c.latest_before)
    .where(blocks.c.first < bindparam("begin"))
    .order_by(blocks.c.first.desc())
    .limit(1)
)
_LATEST = select(func.max(jobs.c.created_at)).where(
    jobs.c.number >= bindparam("begin"), jobs.c.number < bindparam("end")
)
_BEGIN_ONE = insert(blocks)

_FROM = select(func.max(blocks.c.first)).where(blocks.c.latest_before < bindparam("since"))
_TO = select(func.max(blocks.c.first)).where(blocks.c.earliest < bindparam("until"))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A range of numbers, without its end; None where it has no bound."""

    begin: int | None = None
    end: int | None = None


def enter(connection: Connection, number: int, created_at: int) -> None:
    """Accounts for a job that was just added, in the same transaction.

    Nearly always there is nothing to do but to see that: its block has an earlier job.
    """
    first = number - number % SIZE
    last = _LAST.one(connection, {})
    if last is None or last[0] != first or last[1] > created_at:
        _enter(connection, first, created_at)


def _enter(connection: Connection, first: int, created_at: int) -> None:
    # SQLite gives the numbers of removed jobs again, if they were the last.
    connection.execute(_FORGET_LATER, {"begin": first})
    if connection.execute(_SET_BACK, {"begin": first, "time": created_at}).rowcount:
        return
    latest = 0
    before = connection.execute(_BEFORE, {"begin": first}).one_or_none()
    if before is not None:
        newest = connection.scalar(_LATEST, {"begin": before.first, "end": first})
        latest = max(before.latest_before, newest or 0)
    row = {"first": first, "earliest": created_at, "latest_before": latest}
    connection.execute(_BEGIN_ONE, row)


def numbers_of(connection: Connection, since: datetime | None, until: datetime | None) -> Numbers:
    """The range that has every job created at ``since`` or later, and before ``until``."""
    begin = end = None
    if since is not None:
        begin = connection.scalar(_FROM, {"since": microseconds(since)})
    if until is not None:
        last = connection.scalar(_TO, {"until": microseconds(until)})
        end = 0 if last is None else last + SIZE
    return Numbers(begin, end)
