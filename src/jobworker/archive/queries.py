"""The statement that finds jobs, and the index that it follows.

Each condition of a list has an index in which the jobs that fulfil it stand newest first. A list
follows one, its *way*, looks at the other conditions in every job there, and ends with its page.
So it takes long only where a way has many jobs of which few fit; which one that is not depends on
what is asked for. A database without statistics cannot know, so the ways are probed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, select

from jobworker.archive.blocks import Numbers, numbers_of
from jobworker.archive.cursors import number_at
from jobworker.archive.rows import ADMITTED, searchable
from jobworker.archive.sqlite import unindexed
from jobworker.archive.tables import job_labels, jobs
from jobworker.errors import InvalidRequest
from jobworker.model import JobQuery, StatusName, microseconds

Condition = ColumnElement[bool]

# It sorts after every character of a job ID, so that the IDs with a prefix are one range.
_AFTER_ALL = "~"

_FEW = 500
"""Jobs that a list may read without harm, so that a way with fewer is good enough."""


@dataclass(frozen=True, slots=True)
class _Filter:
    """A condition on one column of the table ``jobs``."""

    column: ColumnElement[Any]
    holds: Callable[[ColumnElement[Any]], Condition]

    @property
    def followed(self) -> Condition:
        """The condition on a way that is made for it."""
        return self.holds(self.column)

    @property
    def seen(self) -> Condition:
        """The condition on another way."""
        return self.holds(unindexed(self.column))


@dataclass(frozen=True, slots=True)
class _Way:
    """An index: the conditions that it fulfils, and the column of numbers it is in order of.

    One that is ``scattered`` is in another order, so that all of it has to be read.
    """

    number: ColumnElement[int]
    filters: tuple[_Filter, ...] = ()
    label: dict[str, str] | None = None
    scattered: bool = False

    def conditions(self, numbers: Numbers) -> Iterator[Condition]:
        """The conditions that SQLite finds by the index."""
        yield from (each.followed for each in self.filters)
        if self.label:
            yield from _equals(job_labels, self.label)
        number = unindexed(self.number) if self.scattered else self.number
        if numbers.begin is not None:
            yield number >= numbers.begin
        if numbers.end is not None:
            yield number < numbers.end

    def probe(self, numbers: Numbers) -> Select[Any]:
        """The number of its job that is the first of too many, newest first; or nothing."""
        probe = select(self.number).where(*self.conditions(numbers)).limit(1).offset(_FEW - 1)
        return probe if self.scattered else probe.order_by(self.number.desc())


def matching(query: JobQuery, connection: Connection) -> Select[Any]:
    """The jobs of ``query``, newest first, and one more if there is another page.

    Raises ``InvalidRequest`` for a bad cursor or limit.
    """
    if query.limit < 1:
        raise InvalidRequest(f"limit must be at least 1, not {query.limit}", field="limit")
    numbers = _numbers(query, connection)
    filters = dict(_filters(query))
    way = _best([*_ways(query, filters)], numbers, connection)
    order = unindexed(way.number) if way.scattered else way.number
    found = (
        select(jobs)
        .where(
            *way.conditions(numbers),
            *(each.seen for each in filters.values() if each not in way.filters),
            *_times(query),
            *_has_labels(query, way),
        )
        .order_by(order.desc())
        .limit(query.limit + 1)
    )
    # The plus lets SQLite go from labels to jobs only, and not back.
    return found if way.label is None else found.where(jobs.c.number == unindexed(way.number))


def _numbers(query: JobQuery, connection: Connection) -> Numbers:
    """The range of numbers in which the query's cursor and times are."""
    before = None if query.cursor is None else number_at(query.cursor)
    by_time = numbers_of(connection, query.since, query.until)
    ends = [end for end in (before, by_time.end) if end is not None]
    return Numbers(by_time.begin, min(ends, default=None))


def _filters(query: JobQuery) -> Iterator[tuple[str, _Filter]]:
    """The conditions on columns that ways are made for, by the columns' names."""
    exact = {
        "owner": query.owner,
        "status": query.status,
        "program": query.program,
        "name": query.name,
    }
    for name, value in exact.items():
        if value is StatusName.RUNNING:
            yield name, _Filter(jobs.c[name], lambda column: column.in_((_RUNNING, ADMITTED)))
        elif value is not None:
            yield name, _Filter(jobs.c[name], _equal(searchable(value)))
    if query.id_prefix is not None:
        yield "id", _Filter(jobs.c.id, _begins(searchable(query.id_prefix)))


_RUNNING = StatusName.RUNNING.value


def _equal(value: str) -> Callable[[ColumnElement[Any]], Condition]:
    return lambda column: column == value


def _begins(prefix: str) -> Callable[[ColumnElement[Any]], Condition]:
    return lambda column: column.between(prefix, prefix + _AFTER_ALL)


def _ways(query: JobQuery, filters: dict[str, _Filter]) -> Iterator[_Way]:
    """The ways to the jobs of ``query``, those that tend to be the narrowest first."""
    owner = [filters[name] for name in ("owner",) if name in filters]
    if query.status is StatusName.RUNNING:
        # Two statuses of the table, so two stretches of the index; but few jobs run at a time.
        yield _Way(jobs.c.number, (*owner, filters["status"]), scattered=True)
        return
    for label in _labels(query):
        its = label if query.owner is None else {"owner": searchable(query.owner), **label}
        yield _Way(job_labels.c.number, label=its)
    for name in ("name", "program", "status"):
        if name in filters:
            yield _Way(jobs.c.number, (*owner, filters[name]))
    if "id" in filters:
        yield _Way(jobs.c.number, (filters["id"],), scattered=True)
    if filters.keys() <= {"owner", "id"} and not query.labels:
        yield _Way(jobs.c.number, tuple(owner))


def _best(ways: Sequence[_Way], numbers: Numbers, connection: Connection) -> _Way:
    """A way with few jobs, or else the one that reaches back the furthest with as many."""
    if len(ways) == 1:
        return ways[0]
    probes = [way.probe(numbers).scalar_subquery() for way in ways]
    reached = connection.execute(select(*probes)).one()
    for way, number in zip(ways, reached, strict=True):
        if number is None:
            return way
    ordered = [
        (number, way) for way, number in zip(ways, reached, strict=True) if not way.scattered
    ]
    return min(ordered, key=lambda each: each[0])[1]


def _times(query: JobQuery) -> Iterator[Condition]:
    if query.since is not None:
        yield jobs.c.created_at >= microseconds(query.since)
    if query.until is not None:
        yield jobs.c.created_at < microseconds(query.until)


def _has_labels(query: JobQuery, way: _Way) -> Iterator[Condition]:
    """The conditions on labels that are looked at in each job."""
    for label in _labels(query):
        if way.label is None or not label.items() <= way.label.items():
            its, number = job_labels.alias(), unindexed(way.number)
            # As a range, so that SQLite takes the index that has the value, too, and need not
            # read the label itself.
            this = its.c.number.between(number, number)
            yield select(its.c.number).where(this, *_equals(its, label)).exists()


def _labels(query: JobQuery) -> Iterator[dict[str, str]]:
    """Each label as columns of its table."""
    for key, value in query.labels.items():
        yield {"key": searchable(key), "value": searchable(value)}


def _equals(table: FromClause, columns: Mapping[str, str]) -> Iterator[Condition]:
    for name, value in columns.items():
        yield table.c[name] == value
