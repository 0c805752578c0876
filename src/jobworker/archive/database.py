"""One database file, shared by the archive and the identity room."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import DBAPIError, IntegrityError

from jobworker.archive import sqlite
from jobworker.archive.upgrade import prepare
from jobworker.archive.writer import Writer
from jobworker.errors import StorageFull

T = TypeVar("T")

FILE_NAME = "jobd.db"
"""The name of the database in a state directory."""

_READ_THREADS = 2
"""Lists read at the same time; more would only contend for the interpreter."""


class Database:
    """Reads and writes of one database, for one event loop.

    A read or a write is a function of a connection. It must fetch all its rows before it
    returns. Errors of the database come out as ``StorageFull``, ``ServiceUnavailable``
    (another process holds the file) or ``StateUnusable``; but
    ``sqlalchemy.exc.IntegrityError`` comes out as it is, for the caller to say what
    stood in the way. Reads go on where writes cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writes = sqlite.writer(path)
        self._reads = sqlite.reader(path)
        self._idle: list[Connection] = []
        self._executor = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="archive-reader")
        self._writer = Writer(
            sqlite.impatient_writer(path),
            translate=self._failure,
            is_fatal=sqlite.lost_a_write,
            is_busy=sqlite.is_busy,
            patience=sqlite.BUSY_TIMEOUT,
        )
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Database:
        """Opens the database at ``path``; makes or upgrades it where that is needed.

        Raises ``StateUnusable``, and leaves the file as it is, where it is damaged, no
        database of ours, or made by a newer version.
        """
        with _translated(path):
            prepare(path)
        return cls(path)

    async def write(self, operation: Callable[[Connection], T]) -> T:
        """Runs ``operation`` on the event loop; durable when this returns.

        It shares its transaction with other writes of the same time, but its failure
        undoes only its own work.
        """
        return await self._writer.submit(operation)

    def write_now(self, operation: Callable[[Connection], T]) -> T:
        """Runs ``operation`` in the calling thread, in a transaction of its own.

        It is for a process of its own beside the server, such as ``jobd user add``.
        """
        with _translated(self.path), self._writes.connect() as connection, connection.begin():
            return operation(connection)

    def read(self, query: Callable[[Connection], T]) -> T:
        """Runs ``query`` in the calling thread, from any thread.

        On the event loop the query must be quick: a look-up by a key, well under 100 µs, or
        a chunk of output where the one before it was quick.
        """
        with _translated(self.path), self._reading() as connection:
            return query(connection)

    def prepared(self, statement: Select[Any]) -> Prepared:
        """A look-up by a key that is made on every request."""
        return Prepared(self, statement, self._reads)

    async def read_async(self, query: Callable[[Connection], T]) -> T:
        """Runs ``query`` in a thread: for lists and other queries that may take long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(self.read, query))

    async def close(self) -> None:
        """Finishes the writes under way and closes the file; a second call changes nothing."""
        await self._writer.close()
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection for the calling thread, kept as making one costs more than a read."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._reads.connect()
        try:
            yield connection
        finally:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def _failure(self, error: DBAPIError) -> Exception:
        if isinstance(error, IntegrityError):
            return error
        return sqlite.translate(error, self.path)


class Prepared:
    """A select of at most one row, compiled once.

    SQLAlchemy's part in executing a small select is four fifths of its cost, so this
    goes to the driver with the text that SQLAlchemy compiled.
    """

    def __init__(self, database: Database, statement: Select[Any], engine: Engine) -> None:
        self._database = database
        self._statement = statement
        self._error = engine.dialect.dbapi.Error if engine.dialect.dbapi else ()
        compiled = statement.compile(dialect=engine.dialect)
        self._sql = str(compiled)
        self._order: Sequence[str] = getattr(compiled, "positiontup", None) or ()

    def one(self, parameters: Mapping[str, Any]) -> Any | None:
        """The row as a tuple in the order of the select, or None; from any thread."""
        try:
            return self._database.read(partial(self._fetch, parameters))
        except self._error:
            # A second attempt by SQLAlchemy says what is wrong in our own terms.
            return self._database.read(
                lambda connection: connection.execute(self._statement, parameters).one_or_none()
            )

    def _fetch(self, parameters: Mapping[str, Any], connection: Connection) -> Any | None:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, [parameters[name] for name in self._order])
            return cursor.fetchone()
        finally:
            cursor.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise sqlite.translate(error, path) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StorageFull(f"cannot write to the database {path}: {error.strerror}") from error
