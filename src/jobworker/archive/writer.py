"""The one writer: many writes share one transaction and one wait for the disk.

A write that fails takes no other with it. No caller is answered before the commit. A write
may be carried out twice, the first time to be undone, so it must do nothing but write.

Writes run on the event loop: their statements take microseconds each, and a thread of
their own would wait for the interpreter's lock at each of them, under load for longer
than the disk takes. Only where the disk is slow does the commit go to a thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import DBAPIError

from jobworker.errors import ServiceUnavailable

T = TypeVar("T")

GROUP = 64
"""The most writes in one transaction, so that they do not hold up the event loop for long."""

WORTH_IT = 6
"""Writes that can wait for which a single one that cannot is held up: so that only one in so
many is."""

_QUICK = 0.002
"""Seconds that a commit may hold up the event loop. One that takes longer sends those after
it to a thread, until one is quick again."""

_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.05
"""Seconds between attempts to begin while another process writes; its writes are short."""


@dataclass(frozen=True, slots=True)
class _Write:
    operation: Callable[[Connection], Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    result: Any


@dataclass(frozen=True, slots=True)
class _Undone:
    error: Exception


_Outcome = _Done | _Undone


class Writer:
    """Carries out writes in order; serves one event loop.

    ``translate`` turns an error of the database into ours. After an error that ``is_fatal``
    nothing is written any more; one that ``is_busy`` means that another process writes
    just now, for which the writer waits ``patience`` seconds. The engine's connections
    must not wait for that themselves.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        translate: Callable[[DBAPIError], Exception],
        is_fatal: Callable[[DBAPIError], bool],
        is_busy: Callable[[DBAPIError], bool],
        patience: float,
    ) -> None:
        self._engine = engine
        self._translate = translate
        self._is_fatal = is_fatal
        self._is_busy = is_busy
        self._patience = patience
        self._fatal: DBAPIError | None = None
        self._connection: Connection | None = None
        self._waiting: deque[_Write] = deque()
        self._rounds: asyncio.Task[None] | None = None
        self._patient: deque[_Write] = deque()
        self._due: asyncio.TimerHandle | None = None
        """The end of the patience of the first of them."""
        self._commits = ThreadPoolExecutor(1, thread_name_prefix="archive-commit")
        self._disk_is_slow = False
        self._closed = False

    async def submit(self, operation: Callable[[Connection], T], *, delay: float = 0.0) -> T:
        """Runs ``operation`` in the next transaction; its effect is durable on return.

        With a ``delay`` it can wait so many seconds for one, which it shares with those that
        cannot. A caller that is cancelled meanwhile does not undo it.
        """
        if self._closed:
            raise ServiceUnavailable("cannot write to the database: it has been closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        write = _Write(operation, answer)
        if not delay:
            self._waiting.append(write)
            self._begin_rounds()
        else:
            self._patient.append(write)
            if self._due is None:
                self._due = loop.call_later(delay, self._end_patience)
        return await answer

    async def close(self) -> None:
        """Finishes the submitted writes and releases the database."""
        if self._closed:
            return
        self._closed = True
        self._end_patience()
        if self._rounds is not None:
            await self._rounds
        self._disconnect()
        self._commits.shutdown()

    def _end_patience(self) -> None:
        self._waiting.extend(self._patient)
        self._patient.clear()
        self._forget_timer()
        self._begin_rounds()

    def _forget_timer(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _begin_rounds(self) -> None:
        if self._waiting and self._rounds is None:
            self._rounds = asyncio.create_task(self._make_rounds())

    async def _make_rounds(self) -> None:
        while self._waiting:
            group = self._next_group()
            _answer(group, await self._write(group))
        self._rounds = None

    def _next_group(self) -> list[_Write]:
        """Some of the writes that wait, and of those that can wait, where it is worth it."""
        if len(self._waiting) == 1 and len(self._patient) < WORTH_IT:
            return [self._waiting.popleft()]
        group: list[_Write] = []
        while len(group) < GROUP and (queue := self._patient or self._waiting):
            group.append(queue.popleft())
        if not self._patient:
            self._forget_timer()
        return group

    async def _write(self, group: list[_Write]) -> list[_Outcome]:
        try:
            if self._fatal:
                raise self._fatal
            return await self._commit(group)
        except Exception as error:  # noqa: BLE001 - goes to each of the callers
            if isinstance(error, DBAPIError) and self._is_fatal(error):
                self._fatal = error
            self._disconnect()
            return [_Undone(self._failure(error)) for _ in group]

    async def _commit(self, group: list[_Write]) -> list[_Outcome]:
        """Writes the group without savepoints; where a write fails, again with them.

        Savepoints cost as much as the writes between them.
        """
        try:
            return await self._in_transaction(
                lambda connection: [_Done(write.operation(connection)) for write in group]
            )
        except Exception as error:
            self._disconnect()
            if isinstance(error, DBAPIError) and (self._is_fatal(error) or self._is_busy(error)):
                raise
        return await self._in_transaction(
            lambda connection: [self._apply(connection, write) for write in group]
        )

    async def _in_transaction(self, work: Callable[[Connection], list[_Outcome]]) -> list[_Outcome]:
        if self._connection is None:
            self._connection = self._engine.connect()
        transaction = await self._begin(self._connection)
        try:
            outcomes = work(self._connection)
        except BaseException:
            transaction.rollback()
            raise
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._disk_is_slow:
            await loop.run_in_executor(self._commits, transaction.commit)
        else:
            transaction.commit()
        self._disk_is_slow = loop.time() - began > _QUICK
        return outcomes

    async def _begin(self, connection: Connection) -> Transaction:
        """Takes the write lock; waits for another process without holding up the loop.

        There is no event for it: SQLite itself would sleep and try again.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return connection.begin()
            except DBAPIError as error:
                connection.rollback()
                if not self._is_busy(error) or loop.time() > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def _disconnect(self) -> None:
        """Closes the connection, and with it all that a failed commit has left open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _apply(self, connection: Connection, write: _Write) -> _Outcome:
        connection.exec_driver_sql("SAVEPOINT write")
        try:
            outcome: _Outcome = _Done(write.operation(connection))
        except Exception as error:  # noqa: BLE001 - goes to its caller
            self._undo(connection, error)
            outcome = _Undone(self._failure(error))
        connection.exec_driver_sql("RELEASE write")
        return outcome

    def _undo(self, connection: Connection, error: Exception) -> None:
        try:
            connection.exec_driver_sql("ROLLBACK TO write")
        except DBAPIError:
            # The database has undone the whole transaction by itself, as SQLite does
            # when the disk is full. The cause is the error before, not the missing savepoint.
            raise error from None

    def _failure(self, error: Exception) -> Exception:
        return self._translate(error) if isinstance(error, DBAPIError) else error


def _answer(group: list[_Write], outcomes: list[_Outcome]) -> None:
    """Wakes the callers, on the event loop."""
    for write, outcome in zip(group, outcomes, strict=True):
        if write.answer.done():  # cancelled
            continue
        if isinstance(outcome, _Done):
            write.answer.set_result(outcome.result)
        else:
            write.answer.set_exception(outcome.error)
