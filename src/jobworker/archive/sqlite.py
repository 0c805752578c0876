"""All code that only SQLite needs: connections, the file itself, its error codes.

Another database needs another module with these functions, and nothing else.
"""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from jobworker import disk
from jobworker.archive.prepared import Prepared
from jobworker.errors import (
    JobWorkerError,
    ServiceUnavailable,
    StateUnusable,
    StorageFull,
    StorageUnavailable,
)

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's transaction; ours last milliseconds."""

_JOURNAL_LIMIT = 64 * 1024 * 1024
"""Bytes of log file that are kept after a checkpoint: a large output may make it grow."""

_LOG_ROOM = 5 * 1024 * 1024
"""Bytes of log that are taken from the disk beforehand: SQLite begins it anew after a
thousand pages, so that what changes no more than that needs no room (wal_autocheckpoint)."""

_ALWAYS = f"""
PRAGMA synchronous = FULL;
PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)};
PRAGMA journal_size_limit = {_JOURNAL_LIMIT};
PRAGMA secure_delete = FAST;
"""

_WRITE_FAILED = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
"""Codes of a write that failed: for a disk quota, RLIMIT_FSIZE, a log index that cannot grow,
which all mean that there is no room for more; but for a broken disk as well."""

_PROBE = bytes(4096)
"""The block that is written to tell them apart."""
_BROKEN = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
"""Primary codes of a disk that fails while we use the database."""

_BEGIN = Prepared(text("BEGIN IMMEDIATE"))

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_LOST_WRITE = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}


def writer(path: Path) -> Engine:
    """Connections that may write; their transactions take the write lock at once."""
    return _writing(path, "PRAGMA foreign_keys = ON;")


def impatient_writer(path: Path) -> Engine:
    """Connections that may write; a transaction fails at once while another process writes."""
    return _writing(path, "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 0;")


def migrator(path: Path) -> Engine:
    """Connections for migrations, which may write, with foreign keys off.

    A migration that makes a table anew drops the old one, which else would delete
    every row that refers to it.
    """
    # A file that is to give room back must know before it has its first table.
    return _writing(path, "PRAGMA foreign_keys = OFF;", "PRAGMA auto_vacuum = INCREMENTAL;")


def _writing(path: Path, setup: str, before: str = "") -> Engine:
    engine = _engine(path, "rw", f"{before} {_ALWAYS} PRAGMA journal_mode = WAL; {setup}")

    # A transaction that begins by reading cannot wait for the lock later: it would
    # fail at once with SQLITE_BUSY, whatever the busy timeout.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        _BEGIN.one(connection, {})

    return engine


def reader(path: Path) -> Engine:
    """Connections that cannot write; each statement sees what is committed by then."""
    return _engine(path, "rw", f"{_ALWAYS} PRAGMA query_only = ON;")


def inspector(path: Path) -> Engine:
    """Connections to look at a file that may not be ours; the file is left as it is."""
    return _engine(path, "ro", "")


def _engine(path: Path, mode: str, setup: str) -> Engine:
    def connect() -> sqlite3.Connection:
        # The driver begins nothing by itself; a connection goes from thread to thread,
        # but serves one at a time.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT,
        )
        try:
            connection.executescript(setup)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    # No pool: a caller that needs a connection more than once keeps it.
    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def take_log_room(path: Path, most: int) -> None:
    """Takes the room of the log from the disk; only while the write lock is held.

    It must hold to the file's end, which nobody may move meanwhile. What lies beyond the last
    transaction in a log means nothing to SQLite. Raises ``OSError``.
    """
    fd = os.open(f"{path}-wal", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, min(_LOG_ROOM, most))
    finally:
        os.close(fd)


def make_shrinkable(path: Path) -> None:
    """Lets a database that an earlier version has made give room back; it is copied for that.

    Nothing happens where it can, or where the disk has no room for two copies.
    """
    place = os.statvfs(path.parent)
    if place.f_bavail * place.f_frsize < 3 * path.stat().st_size:
        return
    with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)) as connection:
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")


def unused(connection: Connection) -> int:
    """Bytes of the file that hold nothing any more."""
    pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def shrink(connection: Connection, pages: int) -> None:
    """Moves as many pages from the file's end to unused ones; ``checkpoint`` cuts it off there."""
    # SQLite moves a page a step, and the driver makes one step where there are no rows.
    cursor = connection.connection.cursor()
    for _ in range(pages):
        cursor.execute("PRAGMA incremental_vacuum(1)")


def checkpoint(path: Path) -> None:
    """Moves the log into the file, as far as nobody reads an older state."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def create(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a new database at ``path``, whole or not at all; ``fill`` makes its tables.

    The file is readable by its owner only. Where another process has made ``path``
    meanwhile, that file stays. Raises ``StateUnusable`` where a log without its database
    lies at ``path``: the new database would take it for its own.
    """
    log = path.with_name(path.name + "-wal")
    if log.exists():
        raise StateUnusable(
            f"cannot make the database {path}: it is missing, but its log {log.name} is there",
            hint="restore the database from a backup together with its log, or move the log away",
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        fill(draft)
        _sync(draft)
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _publish(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)  # unlike a rename it never replaces a file
    except FileExistsError:
        return


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Unindexed(FunctionElement[Any]):
    """A column that is read from each row; the statement follows no index for it."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_Unindexed)
def _as_it_is(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses.clauses[0], **options)


@compiles(_Unindexed, "sqlite")
def _with_a_plus(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{_as_it_is(element, compiler, **options)}"


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, but SQLite will not choose an index for it.

    It would choose blindly: it knows no frequencies, and of an index only an average if it did.
    Other databases know better, and get the column as it is.
    """
    return _Unindexed(column)


def translate(error: DBAPIError, path: Path, *, opened: bool = False) -> JobWorkerError:
    """The error of our own taxonomy for a failure of the database.

    One that was ``opened`` before was usable then, so it is its disk that fails.
    """
    code = getattr(error.orig, "sqlite_errorcode", 0)
    why = f"{error.orig} ({getattr(error.orig, 'sqlite_errorname', 'unknown')})"
    if code == sqlite3.SQLITE_FULL or (code in _WRITE_FAILED and _lacks_room(path)):
        return StorageFull(
            f"cannot write to the database {path.name}: no space left ({why})",
            hint="remove jobs that have ended; or free some space, or raise the quota, where the "
            "server keeps its state",
        )
    if is_busy(error):
        return ServiceUnavailable(
            f"cannot write to the database {path.name}: another process has held it for "
            f"{BUSY_TIMEOUT:g} s",
            hint="try again; if it persists, end the other process that uses the database",
        )
    if lost_a_write(error):
        return StorageUnavailable(
            f"cannot write to the database {path.name} any more: the disk lost a write ({why})",
            hint="the operator has to look at the disk under jobd's state and start jobd again; "
            "running jobs go on, and can be stopped",
        )
    if opened or code & 0xFF in _BROKEN:
        return StorageUnavailable(
            f"cannot use the database {path.name}: {why}",
            hint="the operator has to look at the disk under jobd's state; "
            "running jobs go on, and can be stopped",
        )
    return StateUnusable(
        f"cannot use the database {path}: {why}",
        hint="check the disk and the file's permissions, or restore the file from a backup",
    )


def _lacks_room(path: Path) -> bool:
    """Whether a write to a database failed for want of room: the system's error is not told.

    Where another file beside it can be written to, neither the disk nor a quota is full.
    """
    probe = path.with_name(f".{path.name}.probe")
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, _PROBE)
            os.fsync(fd)
        finally:
            os.close(fd)
            probe.unlink()
    except OSError as error:
        return error.errno not in disk.BROKEN
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def is_busy(error: DBAPIError) -> bool:
    """Whether another process holds the write lock."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY


def lost_a_write(error: DBAPIError) -> bool:
    """Whether the disk refused to make a write durable.

    The kernel's pages in memory may then differ from those on the disk, so a second
    try that succeeds proves nothing.
    """
    return getattr(error.orig, "sqlite_errorcode", 0) in _LOST_WRITE
