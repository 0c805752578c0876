"""Group commit: what writes share, and what they do not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import IntegrityError

from jobworker.archive import sqlite
from jobworker.archive.database import Database
from jobworker.archive.tables import accounts, job_labels
from jobworker.archive.writer import GROUP, Writer
from jobworker.errors import ServiceUnavailable


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(tmp_path / "jobd.db")
    yield opened
    await opened.close()


def adding(number: int) -> Callable[[Connection], int]:
    def add(connection: Connection) -> int:
        connection.execute(insert(accounts), {"owner": f"owner {number}", "number": number})
        return number

    return add


def numbers(database: Database) -> list[int]:
    statement = select(accounts.c.number).order_by(accounts.c.number)
    return database.read(lambda connection: list(connection.scalars(statement)))


class Gate:
    """A write that keeps the writer busy until it is let through."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, _connection: Connection) -> None:
        assert self._open.wait(60)

    def open(self) -> None:
        self._open.set()


async def together(
    database: Database, writes: list[Callable[[Connection], int]]
) -> list[int | BaseException]:
    """Submit ``writes`` so that they wait for the writer at the same time."""
    gate = Gate()
    tasks = [asyncio.create_task(database.write(gate))]
    tasks += [asyncio.create_task(database.write(write)) for write in writes]  # type: ignore[arg-type]  # results differ
    await asyncio.sleep(0)  # each runs until it waits for its answer
    gate.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return results[1:]  # type: ignore[return-value]  # the gate's None is gone


def count_commits(database: Database) -> list[None]:
    commits: list[None] = []
    event.listen(database._writes, "commit", lambda _connection: commits.append(None))
    return commits


async def test_two_hundred_writes_share_a_commit(database: Database) -> None:
    commits = count_commits(database)
    results = await together(database, [adding(number) for number in range(200)])
    assert results == list(range(200))
    assert numbers(database) == list(range(200))
    assert len(commits) <= 2  # the gate may have gone ahead with its own


async def test_a_group_is_bounded(database: Database) -> None:
    commits = count_commits(database)
    await together(database, [adding(number) for number in range(GROUP + 10)])
    assert 2 <= len(commits) <= 3


async def test_nobody_is_answered_before_the_commit(database: Database) -> None:
    tasks: list[asyncio.Task[int]] = []
    answered: list[bool] = []

    @event.listens_for(database._writes, "commit")
    def look(_connection: Connection) -> None:
        answered.extend(task.done() for task in tasks)

    tasks += [asyncio.create_task(database.write(adding(number))) for number in range(3)]
    await asyncio.gather(*tasks)
    assert answered
    assert not any(answered[:3])


async def test_a_failing_write_takes_no_other_with_it(database: Database) -> None:
    def fail(connection: Connection) -> int:
        adding(7)(connection)
        raise ValueError("changed my mind")

    results = await together(database, [adding(1), fail, adding(1), adding(2)])
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], IntegrityError)
    assert results[3] == 2
    assert numbers(database) == [1, 2]


def break_the_commit(connection: Connection) -> int:
    """A broken rule that is looked at only when the transaction commits."""
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    connection.execute(insert(job_labels), {"number": 4711, "key": "k", "value": "v"})
    return 0


async def test_a_failed_commit_fails_its_whole_group_and_no_later_one(database: Database) -> None:
    results = await together(database, [adding(1), break_the_commit, adding(2)])
    assert [type(result) for result in results] == [IntegrityError] * 3
    assert numbers(database) == []
    assert await database.write(adding(3)) == 3
    assert numbers(database) == [3]


async def test_nothing_is_written_after_a_fatal_error(database: Database) -> None:
    """As after an fsync that failed: that a second one succeeds proves nothing."""
    writer = Writer(
        sqlite.writer(database.path), translate=lambda error: error, is_fatal=lambda _: True
    )
    with pytest.raises(IntegrityError):
        await writer.submit(break_the_commit)
    with pytest.raises(IntegrityError):
        await writer.submit(adding(1))
    assert numbers(database) == []
    await writer.close()


async def test_a_caller_who_leaves_hurts_nobody(database: Database) -> None:
    gate = Gate()
    first = asyncio.create_task(database.write(gate))
    leaving = asyncio.create_task(database.write(adding(1)))
    staying = asyncio.create_task(database.write(adding(2)))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open()
    await asyncio.gather(first, staying)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert numbers(database) == [1, 2]


async def test_close_finishes_what_was_submitted(database: Database) -> None:
    writes = [asyncio.create_task(database.write(adding(number))) for number in range(20)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*writes) == list(range(20))


async def test_a_database_held_by_another_refuses_writes_and_serves_reads(
    database: Database,
) -> None:
    await database.write(adding(1))
    await database.write(
        lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 10").close()
    )
    with sqlite.writer(database.path).connect() as other, other.begin():
        with pytest.raises(ServiceUnavailable, match="another process has held it"):
            await database.write(adding(2))
        assert numbers(database) == [1]
    assert await database.write(adding(2)) == 2


async def test_a_busy_event_loop_does_not_starve_the_writer(database: Database) -> None:
    """Without making way for it a single write took up to 18,000 of these turns."""
    turns = 0
    done = False

    async def burn() -> None:
        nonlocal turns
        while not done:
            deadline = time.perf_counter() + 0.0002
            while time.perf_counter() < deadline:
                pass
            turns += 1
            await asyncio.sleep(0)

    burner = asyncio.create_task(burn())
    for number in range(20):
        before = turns
        await database.write(adding(number))
        assert turns - before < 5_000
    done = True
    await burner
