"""Lists follow the index that fits, whatever the database knows of its rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from jobworker.archive.blocks import SIZE, Numbers, enter, numbers_of
from jobworker.archive.queries import matching
from jobworker.archive.tables import jobs
from jobworker.model import JobQuery, StatusName, from_microseconds, microseconds

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALICE: dict[str, Any] = {"owner": "alice"}
RUNNING, FAILED = {"status": StatusName.RUNNING}, {"status": StatusName.FAILED}
LABEL, TWO = {"labels": {"a": "b"}}, {"labels": {"a": "b", "c": "d"}}
PROGRAM, NAME, PREFIX = {"program": "/bin/a"}, {"name": "n"}, {"id_prefix": "j-8"}


def plan(connection: Connection, query: JobQuery) -> list[str]:
    """The steps of the statement, as SQLite explains them."""
    compiled = matching(query, connection).compile(
        connection.engine, compile_kwargs={"literal_binds": True}
    )
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize(
    ("conditions", "first"),
    [
        ({}, "SCAN jobs"),
        (ALICE, "ix_jobs_owner_number (owner=?"),
        (FAILED, "ix_jobs_status_number (status=?"),
        (ALICE | FAILED, "ix_jobs_owner_status_number (owner=? AND status=?"),
        (PROGRAM, "ix_jobs_program_number (program=?"),
        (ALICE | PROGRAM, "ix_jobs_owner_program_number (owner=? AND program=?"),
        (FAILED | PROGRAM, "ix_jobs_program_number (program=?"),
        (NAME, "ix_jobs_name_number (name=?"),
        (ALICE | NAME, "ix_jobs_owner_name_number (owner=? AND name=?"),
        (ALICE | FAILED | PROGRAM | NAME, "ix_jobs_owner_name_number (owner=? AND name=?"),
        (LABEL, "ix_job_labels_key_value_number (key=? AND value=?"),
        (TWO, "ix_job_labels_key_value_number (key=? AND value=?"),
        (
            ALICE | TWO | PROGRAM,
            "ix_job_labels_owner_key_value_number (owner=? AND key=? AND value=?",
        ),
    ],
)
def test_a_list_follows_an_index_in_its_order(
    connection: Connection, conditions: dict[str, Any], first: str
) -> None:
    steps = plan(connection, JobQuery(**conditions))
    assert first in steps[0]
    assert "TEMP B-TREE" not in "".join(steps)
    if conditions:
        assert "SCAN" not in "".join(steps)
    number = "rowid" if not conditions else "number"
    cursor = "AAAAAAAAAAE"
    steps = plan(connection, JobQuery(**conditions, cursor=cursor))
    assert f"{number}<?" in steps[0]


@pytest.mark.parametrize(
    ("conditions", "first"),
    [
        (PREFIX, "(id>? AND id<?)"),
        (ALICE | PREFIX, "(id>? AND id<?)"),
        (RUNNING, "ix_jobs_status_number (status=?)"),
        (ALICE | RUNNING | PREFIX, "ix_jobs_owner_status_number (owner=? AND status=?)"),
    ],
)
def test_what_an_index_has_in_another_order_is_sorted(
    connection: Connection, conditions: dict[str, Any], first: str
) -> None:
    """There are few; the numbers in order would be those of all jobs."""
    for cursor in (None, "AAAAAAAAAAE"):
        steps = plan(connection, JobQuery(**conditions, cursor=cursor))
        assert first in steps[0]
        assert "TEMP B-TREE" in steps[1]


def add(connection: Connection, created_at: int) -> int:
    row = dict.fromkeys(("owner", "status", "program", "spec", "containment", "node"), "")
    identity = {"id": str(created_at), "created_at": created_at}
    key = connection.execute(insert(jobs), {**row, **identity}).inserted_primary_key
    assert key
    enter(connection, key[0], created_at)
    return int(key[0])


def test_a_time_is_a_range_of_blocks(connection: Connection) -> None:
    start = microseconds(NOW)
    for number in range(1, 4 * SIZE):
        assert add(connection, start + number) == number

    def numbers(since: int | None, until: int | None) -> Numbers:
        moments = (
            None if each is None else from_microseconds(start + each) for each in (since, until)
        )
        return numbers_of(connection, *moments)

    assert numbers(None, None) == Numbers(None, None)
    assert numbers(0, 0) == Numbers(0, 0)
    assert numbers(2 * SIZE + 5, 2 * SIZE + 9) == Numbers(2 * SIZE, 3 * SIZE)
    assert numbers(9 * SIZE, 9 * SIZE) == Numbers(3 * SIZE, 4 * SIZE)
    assert numbers(2 * SIZE, 2 * SIZE) == Numbers(2 * SIZE, 2 * SIZE)
