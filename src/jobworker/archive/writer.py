"""The one writer: many writes share one transaction and one wait for the disk.

A write that fails takes no other with it. Nobody is answered before the commit. A write
may be carried out twice, the first time to be undone, so it must do nothing but write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from jobworker.errors import ServiceUnavailable

T = TypeVar("T")

GROUP = 256
"""Most writes in one transaction: bounds how long the first of them waits for the last."""


_PATIENCE = 0.003
"""Seconds that a write may take before the event loop makes way for it."""

_WAY = 0.0003
"""Seconds for which it does: several switches of threads, and a tenth of the patience."""


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
    """A thread that carries out writes in order; serves one event loop.

    ``translate`` turns an error of the database into ours, and ``is_fatal`` says after
    which one nothing may be written any more.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        translate: Callable[[DBAPIError], Exception],
        is_fatal: Callable[[DBAPIError], bool],
    ) -> None:
        self._engine = engine
        self._translate = translate
        self._is_fatal = is_fatal
        self._fatal: DBAPIError | None = None
        self._connection: Connection | None = None
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._waiting = 0
        self._way: asyncio.TimerHandle | None = None
        self._closed = False

    async def submit(self, operation: Callable[[Connection], T]) -> T:
        """Run ``operation`` in the next transaction; its effect is durable on return.

        A caller that is cancelled meanwhile does not undo it.
        """
        if self._closed:
            raise ServiceUnavailable("cannot write to the database: it has been closed")
        if self._thread is None:
            # A daemon: whoever forgets to close must not hang at exit for it. Nothing is
            # lost with it that somebody was told is done.
            self._thread = Thread(target=self._run, name="archive-writer", daemon=True)
            self._thread.start()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Write(operation, answer))
        with self._expecting():
            return await answer

    @contextmanager
    def _expecting(self) -> Iterator[None]:
        self._waiting += 1
        if self._way is None:
            self._way = asyncio.get_running_loop().call_later(_PATIENCE, self._make_way)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and self._way:
                self._way.cancel()
                self._way = None

    def _make_way(self) -> None:
        """Stand still, so that the writer gets the interpreter's lock.

        The lock is not fair: a busy event loop gives it up for microseconds and takes it
        again before another thread has woken up, which made writes wait for seconds.
        """
        time.sleep(_WAY)
        self._way = asyncio.get_running_loop().call_later(_PATIENCE, self._make_way)

    async def close(self) -> None:
        """Finish what has been submitted and end the thread."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            if group:
                outcomes = self._write(group)
                loop = group[0].answer.get_loop()
                loop.call_soon_threadsafe(_answer, group, outcomes)
        self._disconnect()

    def _next_group(self) -> tuple[list[_Write], bool]:
        """Everything that waits, at least one; and whether there may be more."""
        group: list[_Write] = []
        write = self._queue.get()
        while write is not None:
            group.append(write)
            if len(group) == GROUP:
                return group, True
            try:
                write = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _write(self, group: list[_Write]) -> list[_Outcome]:
        try:
            if self._fatal:
                raise self._fatal
            return self._commit(group)
        except Exception as error:  # noqa: BLE001 - goes to each of the callers
            if isinstance(error, DBAPIError) and self._is_fatal(error):
                self._fatal = error
            self._disconnect()
            return [_Undone(self._failure(error)) for _ in group]

    def _commit(self, group: list[_Write]) -> list[_Outcome]:
        """Write in the hope that nothing fails; where something does, again and with care.

        Savepoints would cost as much as the writes between them.
        """
        try:
            with self._connected().begin():
                return [_Done(write.operation(self._connected())) for write in group]
        except Exception as error:
            self._disconnect()
            if isinstance(error, DBAPIError) and self._is_fatal(error):
                raise
        with self._connected().begin():
            return [self._apply(self._connected(), write) for write in group]

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        """Let go of the connection, and with it of whatever a failed commit has left open."""
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
    """Wake the callers, on the event loop."""
    for write, outcome in zip(group, outcomes, strict=True):
        if write.answer.done():  # cancelled
            continue
        if isinstance(outcome, _Done):
            write.answer.set_result(outcome.result)
        else:
            write.answer.set_exception(outcome.error)
