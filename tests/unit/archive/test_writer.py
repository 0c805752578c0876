"""Group commit: what writes share, and what they do not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import IntegrityError

from jobworker.archive import sqlite, writer
from jobworker.archive.database import Database
from jobworker.archive.tables import accounts, job_labels
from jobworker.archive.writer import GROUP, WORTH_IT, Writer
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


async def together(
    database: Database, writes: list[Callable[[Connection], int]]
) -> list[int | BaseException]:
    """Submit ``writes`` so that they wait for the writer at the same time."""
    tasks = [asyncio.create_task(database.write(write)) for write in writes]
    return await asyncio.gather(*tasks, return_exceptions=True)


def count_commits(database: Database) -> list[None]:
    commits: list[None] = []
    event.listen(database._writer._engine, "commit", lambda _connection: commits.append(None))
    return commits


async def test_two_hundred_writes_share_a_few_commits(database: Database) -> None:
    commits = count_commits(database)
    results = await together(database, [adding(number) for number in range(200)])
    assert results == list(range(200))
    assert numbers(database) == list(range(200))
    assert len(commits) == -(-200 // GROUP)


async def test_nobody_is_answered_before_the_commit(database: Database) -> None:
    tasks: list[asyncio.Task[int]] = []
    answered: list[bool] = []

    @event.listens_for(database._writer._engine, "commit")
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


LATER, MUCH_LATER = 0.01, 1000.0
"""Delays, in seconds: one that passes, and one that does not within a test."""


async def patient(database: Database, *many: int) -> list[asyncio.Task[int]]:
    """Submit writes that can wait for ever."""
    tasks = [
        asyncio.create_task(database.write(adding(number), delay=MUCH_LATER)) for number in many
    ]
    await asyncio.sleep(0)
    return tasks


async def test_a_write_that_can_wait_is_carried_out_by_itself_in_the_end(
    database: Database,
) -> None:
    assert await database.write(adding(1), delay=LATER) == 1


async def test_a_single_write_is_not_held_up_by_a_few_that_can_wait(database: Database) -> None:
    few = await patient(database, *range(1, WORTH_IT))
    assert await database.write(adding(0)) == 0
    assert numbers(database) == [0]
    await database.close()
    assert await asyncio.gather(*few) == list(range(1, WORTH_IT))


async def test_many_writes_that_can_wait_share_the_commit_of_one_that_cannot(
    database: Database,
) -> None:
    many = await patient(database, *range(1, WORTH_IT + 1))
    commits = count_commits(database)
    assert await database.write(adding(0)) == 0
    assert await asyncio.gather(*many) == list(range(1, WORTH_IT + 1))
    assert len(commits) == 1


async def test_a_write_that_can_wait_shares_the_commit_of_several(database: Database) -> None:
    (one,) = await patient(database, 0)
    commits = count_commits(database)
    assert await together(database, [adding(1), adding(2)]) == [1, 2]
    assert await one == 0
    assert len(commits) == 1


async def test_writes_that_can_wait_begin_anew_to_wait_after_a_commit(database: Database) -> None:
    """The time of the ones before is not theirs, and there is one again for them."""
    (first,) = await patient(database, 1)
    await together(database, [adding(2), adding(3)])
    assert await first == 1
    assert await database.write(adding(4), delay=LATER) == 4


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
    refusing = Writer(
        sqlite.impatient_writer(database.path),
        translate=lambda error: error,
        is_fatal=lambda _: True,
        is_busy=sqlite.is_busy,
        patience=1,
    )
    with pytest.raises(IntegrityError):
        await refusing.submit(break_the_commit)
    with pytest.raises(IntegrityError):
        await refusing.submit(adding(1))
    assert numbers(database) == []
    await refusing.close()


async def test_a_caller_who_leaves_hurts_nobody(database: Database) -> None:
    leaving = asyncio.create_task(database.write(adding(1)))
    staying = asyncio.create_task(database.write(adding(2)))
    await asyncio.sleep(0)  # each has submitted
    leaving.cancel()
    await staying
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
    database._writer._patience = 0.01
    with sqlite.writer(database.path).connect() as other, other.begin():
        with pytest.raises(ServiceUnavailable, match="another process has held it"):
            await database.write(adding(2))
        assert numbers(database) == [1]
    assert await database.write(adding(2)) == 2


async def test_a_write_waits_for_another_process_and_the_loop_goes_on(
    database: Database,
) -> None:
    with sqlite.writer(database.path).connect() as other:
        with other.begin():
            adding(1)(other)
            writing = asyncio.create_task(database.write(adding(2)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not writing.done()
        assert await writing == 2
    assert numbers(database) == [1, 2]


async def test_a_slow_disk_is_waited_for_in_a_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit after a slow one leaves the event loop free."""
    commits: list[bool] = []

    @event.listens_for(database._writer._engine, "commit")
    def look(_connection: Connection) -> None:
        commits.append(threading.current_thread() is threading.main_thread())

    monkeypatch.setattr(writer, "_QUICK", -1)
    await database.write(adding(1))
    monkeypatch.setattr(writer, "_QUICK", 60)
    await database.write(adding(2))
    await database.write(adding(3))
    assert commits == [True, False, True]


async def test_statements_are_executed_on_the_event_loop_even_where_the_disk_is_slow(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread each would wait for the interpreter's lock: under load, for seconds in all."""
    monkeypatch.setattr(writer, "_QUICK", -1)
    places: list[bool] = []

    @event.listens_for(database._writer._engine, "before_cursor_execute")
    def look(*_: object) -> None:
        places.append(threading.current_thread() is threading.main_thread())

    for number in range(3):
        await database.write(adding(number))
    assert len(places) >= 3
    assert all(places)
