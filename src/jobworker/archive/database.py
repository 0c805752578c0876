"""One database file, shared by the archive and the identity room."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from jobworker import disk
from jobworker.archive import sqlite
from jobworker.archive.prepared import Prepared
from jobworker.archive.upgrade import prepare
from jobworker.archive.writer import Writer
from jobworker.ballast import Ballast
from jobworker.errors import JobWorkerError, StorageFull
from jobworker.units import size_text

T = TypeVar("T")

log = logging.getLogger(__name__)

FILE_NAME = "jobd.db"
"""The name of the database in a state directory."""

_READ_THREADS = 2
"""Lists read at the same time; more would only contend for the interpreter."""

_SPARE = 64 * 1024 * 1024
"""Bytes of the file that may hold nothing, for output to come; a disk with less than that
left gets them back."""

_SHRUNK_AT_ONCE = 256
"""Pages that are moved in one transaction: a megabyte, as others wait for their turn."""

_TRIED_FOR = 1.0
"""Seconds that the result of a try to write holds: anybody may ask for it."""

_TRY_PATIENCE = 5.0
"""Seconds for such a try: a disk that takes longer is as good as none. Another process may
hold the database for as long."""

_SHRINKING_PATIENCE = 5.0
"""Seconds that a removal waits for the file to shrink, which goes on after that."""


class Database:
    """Reads and writes of one database, for one event loop.

    A read or a write is a function of a connection. It must fetch all its rows before it
    returns. Errors of the database come out as ``StorageFull``, ``ServiceUnavailable``
    (another process holds the file) or ``StateUnusable``; but
    ``sqlalchemy.exc.IntegrityError`` comes out as it is, for the caller to say what
    stood in the way. Reads go on where writes cannot.
    """

    def __init__(self, path: Path, ballast: Ballast | None = None) -> None:
        self.path = path
        self._directory = str(path.parent)
        self.ballast = ballast
        self._shrinking: asyncio.Task[None] | None = None
        self._tried: tuple[float, str | None] | None = None
        """When it was last tried whether it can be written to, and what came of that."""
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
    def open(cls, path: Path, ballast: Ballast | None = None) -> Database:
        """Opens the database at ``path``; makes or upgrades it where that is needed.

        The server has ``ballast`` to give up where the disk is full.
        Raises ``StateUnusable``, and leaves the file as it is, where it is damaged, no
        database of ours, or made by a newer version.
        """
        with _translated(path):
            prepare(path)
        if ballast is not None:
            _make_shrinkable(path)
        return cls(path, ballast)

    async def write(
        self, operation: Callable[[Connection], T], *, ballast: float = 0.0, delay: float = 0.0
    ) -> T:
        """Runs ``operation`` on the event loop; durable when this returns.

        It shares its transaction with other writes of the same time, but its failure
        undoes only its own work. With a ``delay`` it can wait so many seconds for others.

        On a disk that is nearly full it is refused, lest the log fills up with what the file
        has no room for. Where it must not be, that part of the ballast may be given up for it:
        all (1.0) for what makes room, half for what has happened already.
        """
        if self.ballast is None or not ballast:
            self.check_room(0)
            return await self._writer.submit(operation, delay=delay)
        while True:
            try:
                return await self._writer.submit(operation, delay=delay)
            except StorageFull:
                # A log that the file has taken over is begun anew, in the room that it has.
                await self._checkpoint()
            try:
                return await self._writer.submit(operation)
            except StorageFull:
                if not self.ballast.give(down_to=1 - ballast):
                    raise

    def check_room(self, size: int) -> None:
        """Raises ``StorageFull`` where the disk would be nearly full with ``size`` bytes more."""
        if self.ballast is None:
            return
        least = self.ballast.size // 2
        if self._left() < size + least:
            raise StorageFull(
                f"no space left: less than {size_text(least)} would be free on the disk of "
                "the server's state",
                hint="remove jobs that have ended",
            )

    async def trouble(self) -> str | None:
        """The cause why nothing can be recorded, in a sentence; None where all is well.

        A full disk is no such cause: jobs can be read, stopped and removed. It is found out by
        a write, at most one a second, as only that tells.
        """
        now = asyncio.get_running_loop().time()
        if self._tried is None or now - self._tried[0] > _TRIED_FOR:
            self._tried = now, await self._try()
        return self._tried[1]

    async def _try(self) -> str | None:
        def write(connection: Connection) -> None:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            connection.exec_driver_sql(f"PRAGMA user_version = {(version + 1) % 1024}")

        try:
            async with asyncio.timeout(_TRY_PATIENCE):
                await self.write(write)
        except StorageFull:
            return None
        except JobWorkerError as error:
            return str(error)
        except TimeoutError:
            return f"the disk of the database did not answer within {_TRY_PATIENCE:g} s"
        return None

    async def take_log_room(self) -> None:
        """Takes room for the log from the disk, so that small writes do not need any later."""
        if self.ballast is None:
            return
        most = self.ballast.size // 2

        def take(_: Connection) -> None:
            try:
                sqlite.take_log_room(self.path, most)
            except OSError as error:
                raise disk.failure(error, "make the database's log") or error from error

        self.read(lambda connection: connection.exec_driver_sql("PRAGMA schema_version").all())
        await self.write(take, ballast=0.5)

    async def settle(self) -> None:
        """Moves the log into the file at once, where the disk may be full before it is due.

        A log with what the file has no room for cannot be begun anew, and grows.
        """
        if self.ballast is not None and self._left() < _SPARE:
            await self._checkpoint()

    async def shrink(self) -> None:
        """Gives the disk back what removed jobs took, and makes the ballast again.

        Waits a moment for that, as who removes a job wants the room.
        """
        if self._shrinking is None:
            self._shrinking = asyncio.create_task(self._shrink())
        await asyncio.wait({self._shrinking}, timeout=_SHRINKING_PATIENCE)

    async def _shrink(self) -> None:
        try:
            shrunk = False
            while self._may_shrink() and await self.write(self._shrink_some, ballast=1.0):
                shrunk = True
            if shrunk:
                await self._checkpoint()
            if self.ballast is not None and self.ballast.held < self.ballast.size:
                await asyncio.to_thread(self.ballast.fill)
        except (JobWorkerError, OSError, sqlite3.Error) as error:
            log.warning("cannot shrink the database %s: %s", self.path, error)
        finally:
            self._shrinking = None

    async def _checkpoint(self) -> None:
        try:
            await asyncio.to_thread(sqlite.checkpoint, self.path)
        except (OSError, sqlite3.Error) as error:
            log.warning("cannot move the log into the database %s: %s", self.path, error)

    def _may_shrink(self) -> bool:
        """Whether enough of the file is unused, or the disk short enough, to give some back."""
        unused = self.read(sqlite.unused)
        return bool(unused) and (unused >= _SPARE or self._left() < _SPARE)

    def _shrink_some(self, connection: Connection) -> bool:
        """Moves some pages; False where none could be."""
        unused = sqlite.unused(connection)
        sqlite.shrink(connection, _SHRUNK_AT_ONCE)
        return sqlite.unused(connection) < unused

    def _left(self) -> int:
        """Bytes that are left on the disk."""
        try:
            place = os.statvfs(self._directory)
        except OSError as error:
            raise disk.failure(error, f"use the database {self.path.name}") or error from error
        return place.f_bavail * place.f_frsize

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
        with _translated(self.path, opened=True), self._reading() as connection:
            return query(connection)

    def look_up(self, statement: Prepared, parameters: Mapping[str, Any]) -> Any | None:
        """The one row of a look-up by a key, or None; as ``read`` does, in less time."""
        connection = None
        try:
            connection = self._connection()
            return statement.one(connection, parameters)
        except DBAPIError as error:
            raise self._failure(error) from error
        finally:
            if connection is not None:
                self._keep(connection)

    async def read_async(self, query: Callable[[Connection], T]) -> T:
        """Runs ``query`` in a thread: for lists and other queries that may take long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(self.read, query))

    async def close(self) -> None:
        """Finishes the writes under way and closes the file; a second call changes nothing."""
        if self._shrinking is not None:
            self._shrinking.cancel()
            await asyncio.wait({self._shrinking})
        await self._writer.close()
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection for the calling thread, kept as making one costs more than a read."""
        connection = self._connection()
        try:
            yield connection
        finally:
            self._keep(connection)

    def _connection(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._reads.connect()

    def _keep(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _failure(self, error: DBAPIError) -> Exception:
        if isinstance(error, IntegrityError):
            return error
        return sqlite.translate(error, self.path, opened=True)


def _make_shrinkable(path: Path) -> None:
    """Lets the file shrink, if it is one of an earlier version; it serves as it is, too."""
    try:
        sqlite.make_shrinkable(path)
    except (OSError, sqlite3.Error) as error:
        log.warning("the database %s cannot give room back: %s", path, error)


@contextmanager
def _translated(path: Path, *, opened: bool = False) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise sqlite.translate(error, path, opened=opened) from error
    except OSError as error:
        raise disk.failure(error, f"use the database {path.name}") or error from error
