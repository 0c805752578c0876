"""The archive on a SQL database (``ports.Archive``)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from jobworker.archive import blocks, keys
from jobworker.archive.cursors import cursor_at
from jobworker.archive.database import Database
from jobworker.archive.outputs import STORED, Chunk, StoredOutput, chunks_of, clear, store
from jobworker.archive.prepared import Prepared
from jobworker.archive.queries import matching
from jobworker.archive.rows import (
    ACCEPTED,
    ADMITTED,
    ENDING,
    accepted,
    brief_of,
    ending,
    job_of,
    searchable,
)
from jobworker.archive.tables import job_labels, jobs
from jobworker.errors import JobNotFound, JobRunning, StorageFull
from jobworker.model import (
    Job,
    JobId,
    JobQuery,
    KeyBinding,
    Page,
    StartKey,
    StatusName,
    Stream,
)
from jobworker.output.reader import OutputReader

_AT_ONCE = 64 * 1024
"""The most bytes of output that are written together with a job's end."""

_CHUNKS_AHEAD = 2
"""Chunks of a larger output in one transaction: bounds how long others wait for their turn."""

_CAN_WAIT = 0.025
"""Seconds for which an end waits for others to share a wait for the disk. It is durable
already, in the spool, and is answered from memory meanwhile."""

_HAPPENED, _MAKES_ROOM = 0.5, 1.0
"""The part of the ballast that may be given up for a write (``Database.write``)."""


_PAGE = 4 * 1024 * 1024
"""Bytes of jobs, as JSON, after which a page ends."""

_LIVE = (StatusName.QUEUED.value, ADMITTED, StatusName.RUNNING.value)

_THIS: ColumnElement[bool] = jobs.c.id == bindparam("job")
_UNFINISHED = jobs.c.finished_at.is_(None)

_ADD = Prepared(insert(jobs).returning(jobs.c.number), ACCEPTED)
_ADD_LABELS = insert(job_labels)
_GET = select(jobs).where(_THIS)
_STATE = select(jobs.c.number, jobs.c.finished_at).where(_THIS)
_FINISH = Prepared(update(jobs).where(_THIS, _UNFINISHED).returning(jobs.c.number), ENDING)
_ADMIT = update(jobs).where(_THIS, jobs.c.status == StatusName.QUEUED.value).values(status=ADMITTED)
_PUT_BACK = update(jobs).where(_THIS, _UNFINISHED).values(status=StatusName.QUEUED.value)
_ROLL_BACK = delete(jobs).where(_THIS, _UNFINISHED)
_REMOVE = delete(jobs).where(_THIS)
# By status rather than by finished_at, because that has an index.
_ALL_LIVE = select(jobs).where(jobs.c.status.in_(_LIVE)).order_by(jobs.c.number)


class SqlArchive:
    """Every job's record for good, and the output of finished jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        """Records a new job, bound to its key if there is one; durable when this returns.

        Raises ``StorageFull``, and ``ServiceUnavailable`` where the owner's key stands for
        something already.
        """
        await self._database.write(partial(_add, job, key))

    def binding(self, owner: str, key: str) -> KeyBinding | None:
        """The request and job of the owner's idempotency key, or None where it is free."""
        return self._database.read(partial(keys.binding, owner, key))

    async def release(self, owner: str, key: str) -> None:
        """Frees the owner's key."""
        await self._database.write(partial(keys.release, owner, key))

    async def admit(self, job_id: JobId) -> None:
        """Records that a queued job is to be started; durable when this returns."""
        await self._database.write(partial(_admit, job_id))

    async def put_back(self, job_id: JobId) -> None:
        """Records that a job which was admitted is queued again; durable when this returns."""
        await self._database.write(partial(_put_back, job_id), ballast=_HAPPENED)

    async def roll_back(self, job_id: JobId) -> None:
        """Removes a job that never ran; one that is finished, or unknown, is left alone."""
        await self._database.write(partial(_roll_back, job_id), ballast=_HAPPENED)

    async def finish(self, job: Job, output: OutputReader) -> None:
        """Records a job's end together with its output; durable when this returns.

        A second call, after a crash half-way, leaves the same as a single one.
        Raises ``JobNotFound`` where the job was never added, ``StorageFull``.
        """
        size = sum(map(output.size, Stream))
        # An end without output is recorded on a full disk, too: a stop of a queued job is one,
        # and it must not run after a restart. Other jobs can wait where they are.
        ballast = 0.0 if size else _HAPPENED
        if size <= _AT_ONCE:
            # Read here rather than by the writer: a caller that is cancelled may close it.
            finish = partial(_finish_with, job, list(chunks_of(output)))
            await self._database.write(finish, ballast=ballast, delay=_CAN_WAIT)
            return
        # An attempt that cannot succeed would fill the disk for the others meanwhile.
        self._database.check_room(size)
        if await self._store_ahead(job.id, output):
            await self._database.write(partial(_finish, job))

    async def _store_ahead(self, job_id: JobId, output: OutputReader) -> bool:
        """Stores a large output; False where the job was finished before."""
        number = await self._database.write(partial(_make_room, job_id))
        if number is None:
            return False
        chunks = chunks_of(output)
        try:
            while some := await asyncio.to_thread(_take, chunks):
                await self._database.write(partial(_store, number, some))
                await self._database.settle()
        except StorageFull:
            # What was stored would take the room that the next attempt, or another job, needs.
            await self._database.write(partial(_make_room, job_id), ballast=_MAKES_ROOM)
            await self._database.shrink()
            raise
        return True

    async def remove(self, job_id: JobId) -> None:
        """Deletes a finished job and its output; its key stays bound to the deleted job.

        Raises ``JobNotFound``, ``JobRunning``.
        """
        await self._database.write(partial(_remove, job_id), ballast=_MAKES_ROOM)
        await self._database.shrink()

    async def drop(self, job_id: JobId) -> None:
        """Deletes a job that has ended, whether ``finish`` was called for it or not."""
        await self._database.write(partial(_drop, job_id), ballast=_MAKES_ROOM)
        await self._database.shrink()

    async def stored(self, owner: str) -> int:
        """Bytes of output of an owner's finished jobs."""
        return await self._database.read_async(partial(_stored, owner))

    def get(self, job_id: JobId) -> Job | None:
        """The record of a job: as it ended, or as it was accepted while it has not."""
        row = self._database.read(lambda connection: _row(connection, _GET, job_id))
        return job_of(row) if row else None

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a finished job; raises ``JobNotFound`` where there is none."""
        state = self._database.read(lambda connection: _row(connection, _STATE, job_id))
        if state is None or state.finished_at is None:
            raise JobNotFound
        return StoredOutput(self._database, state.number)

    async def find(self, query: JobQuery) -> Page:
        """The jobs that match, newest first. Raises ``InvalidRequest`` for a bad cursor."""
        return await self._database.read_async(partial(_find, query))

    async def unfinished(self) -> list[Job]:
        """Every job that was added and neither finished nor rolled back, oldest first."""
        return await self._database.read_async(_unfinished)


def _row(connection: Connection, statement: Any, job_id: JobId) -> Row[Any] | None:
    return connection.execute(statement, {"job": str(job_id)}).one_or_none()


def _add(job: Job, key: StartKey | None, connection: Connection) -> None:
    if key:
        keys.bind(connection, job, key)
    row = accepted(job)
    added = _ADD.one(connection, row)
    assert added
    (number,) = added
    blocks.enter(connection, number, row["created_at"])
    if job.spec.labels:
        labels = {searchable(key): searchable(value) for key, value in job.spec.labels.items()}
        rows = [
            {"number": number, "owner": job.owner, "key": key, "value": value}
            for key, value in labels.items()
        ]
        connection.execute(_ADD_LABELS, rows)


def _admit(job_id: JobId, connection: Connection) -> None:
    connection.execute(_ADMIT, {"job": str(job_id)})


def _put_back(job_id: JobId, connection: Connection) -> None:
    connection.execute(_PUT_BACK, {"job": str(job_id)})


def _roll_back(job_id: JobId, connection: Connection) -> None:
    if connection.execute(_ROLL_BACK, {"job": str(job_id)}).rowcount:
        keys.release_of(connection, job_id)


def _finish_with(job: Job, chunks: list[Chunk], connection: Connection) -> None:
    """Records the end and a small output in one go: no crash leaves a part of it."""
    number = _finish(job, connection)
    if number is not None and chunks:
        store(connection, number, chunks)


def _finish(job: Job, connection: Connection) -> int | None:
    """Records the end; returns the job's number, or None where it was recorded before."""
    parameters = {"job": str(job.id), **ending(job)}
    finished = _FINISH.one(connection, parameters)
    if finished is None and _row(connection, _STATE, job.id) is None:
        raise JobNotFound
    return finished and finished[0]


def _make_room(job_id: JobId, connection: Connection) -> int | None:
    """Deletes the output that a crash has left; returns the job's number, None if finished."""
    state = _row(connection, _STATE, job_id)
    if state is None:
        raise JobNotFound
    if state.finished_at is not None:
        return None
    clear(connection, state.number)
    number: int = state.number
    return number


def _take(chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(islice(chunks, _CHUNKS_AHEAD))


def _store(number: int, chunks: list[Chunk], connection: Connection) -> None:
    store(connection, number, chunks)


def _remove(job_id: JobId, connection: Connection) -> None:
    state = _row(connection, _STATE, job_id)
    if state is None:
        raise JobNotFound
    if state.finished_at is None:
        raise JobRunning
    _drop(job_id, connection)


def _drop(job_id: JobId, connection: Connection) -> None:
    connection.execute(_REMOVE, {"job": str(job_id)})


def _stored(owner: str, connection: Connection) -> int:
    return int(connection.execute(STORED, {"owner": owner}).scalar_one())


def _find(query: JobQuery, connection: Connection) -> Page:
    found: list[Job] = []
    size, last = 0, 0
    with connection.execute(matching(query, connection)) as rows:
        # One row at a time: a thousand of the largest would not fit into memory.
        for row in rows:
            if len(found) == query.limit or size >= _PAGE:
                return Page(tuple(found), cursor_at(last))
            job, bytes_of_it = brief_of(row)
            found.append(job)
            size, last = size + bytes_of_it, row.number
    return Page(tuple(found), None)


def _unfinished(connection: Connection) -> list[Job]:
    with connection.execute(_ALL_LIVE) as rows:
        return [brief_of(row)[0] for row in rows]
