"""The statement that finds jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from jobworker.archive.cursors import number_at
from jobworker.archive.rows import ADMITTED, searchable
from jobworker.archive.tables import job_labels, jobs
from jobworker.errors import InvalidRequest
from jobworker.model import JobQuery, StatusName, microseconds

# It sorts after every character of a job ID, so that the IDs with a prefix are one range.
_AFTER_ALL = "~"


def matching(query: JobQuery) -> Select[Any]:
    """The jobs of ``query``, newest first, and one more if there is another page.

    Raises ``InvalidRequest`` for a bad cursor or limit.
    """
    if query.limit < 1:
        raise InvalidRequest(f"limit must be at least 1, not {query.limit}", field="limit")
    return (
        select(jobs)
        .where(*_conditions(query))
        .order_by(jobs.c.number.desc())
        .limit(query.limit + 1)
    )


def _conditions(query: JobQuery) -> Iterator[ColumnElement[bool]]:
    exact = {
        jobs.c.owner: query.owner,
        jobs.c.program: query.program,
        jobs.c.name: query.name,
    }
    for column, value in exact.items():
        if value is not None:
            yield column == searchable(value)
    if query.status is StatusName.RUNNING:
        yield jobs.c.status.in_((query.status.value, ADMITTED))
    elif query.status is not None:
        yield jobs.c.status == query.status.value
    if query.since is not None:
        yield jobs.c.created_at >= microseconds(query.since)
    if query.until is not None:
        yield jobs.c.created_at < microseconds(query.until)
    if query.id_prefix is not None:
        prefix = searchable(query.id_prefix)
        yield jobs.c.id.between(prefix, prefix + _AFTER_ALL)
    if query.cursor is not None:
        yield jobs.c.number < number_at(query.cursor)
    yield from _label_conditions(query)


def _label_conditions(query: JobQuery) -> Iterator[ColumnElement[bool]]:
    for key, value in query.labels.items():
        yield jobs.c.number.in_(
            select(job_labels.c.number).where(
                job_labels.c.key == searchable(key), job_labels.c.value == searchable(value)
            )
        )
