"""An archive that is kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

from jobworker.archive.cursors import cursor_at, number_at
from jobworker.errors import (
    InvalidRequest,
    JobNotFound,
    JobRunning,
    ServiceUnavailable,
)
from jobworker.model import (
    Job,
    JobId,
    JobQuery,
    KeyBinding,
    Page,
    Queued,
    Starting,
    StartKey,
    Stream,
    brief,
)
from jobworker.output.reader import OutputReader
from jobworker.testing.output import MemoryOutput


@dataclass
class _Record:
    number: int
    job: Job
    output: MemoryOutput | None = None


class MemoryArchive:
    """An archive that is gone with its process (``ports.Archive``)."""

    def __init__(self) -> None:
        self._records: dict[JobId, _Record] = {}
        self._numbers = count(1)
        self._bindings: dict[tuple[str, str], KeyBinding] = {}

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        """Records a new job, and with it what its key stands for."""
        if key:
            self._bind(job, key)
        accepted = job if isinstance(job.status, Queued) else replace(job, status=Starting())
        self._records[job.id] = _Record(next(self._numbers), accepted)

    async def admit(self, job_id: JobId) -> None:
        """Records that a queued job is to be started."""
        record = self._records.get(job_id)
        if record and isinstance(record.job.status, Queued):
            record.job = replace(record.job, status=Starting(acknowledged=True))

    async def put_back(self, job_id: JobId) -> None:
        """Records that a job which was admitted is queued again."""
        record = self._records.get(job_id)
        if record and not record.job.ended:
            record.job = replace(record.job, status=Queued())

    async def roll_back(self, job_id: JobId) -> None:
        """Forgets a job that never ran; one that is finished, or unknown, is left alone."""
        record = self._records.get(job_id)
        if record and not record.job.ended:
            del self._records[job_id]
            bound = self._bindings.items()
            self._bindings = {name: each for name, each in bound if each.job_id != job_id}

    async def finish(self, job: Job, output: OutputReader) -> None:
        """Records a job's end together with its output; the second time changes nothing."""
        assert job.ended
        record = self._record(job.id)
        if not record.job.ended:
            whole = replace(job, spec=record.job.spec, cut=())
            record.job, record.output = whole, _copy(output)

    async def remove(self, job_id: JobId) -> None:
        """Deletes a finished job and its output. Raises ``JobNotFound``, ``JobRunning``."""
        if not self._record(job_id).job.ended:
            raise JobRunning
        del self._records[job_id]

    async def drop(self, job_id: JobId) -> None:
        """Deletes a job that has ended, whether it is finished or not."""
        self._records.pop(job_id, None)

    def _bind(self, job: Job, key: StartKey) -> None:
        if (job.owner, key.text) in self._bindings:
            raise ServiceUnavailable
        acknowledged = isinstance(job.status, Queued)
        self._bindings[job.owner, key.text] = KeyBinding(key.digest, job.id, acknowledged)

    def binding(self, owner: str, key: str) -> KeyBinding | None:
        """The binding of the owner's idempotency key, or None where it is free."""
        return self._bindings.get((owner, key))

    async def release(self, owner: str, key: str) -> None:
        """Lets the owner's key stand for nothing again."""
        self._bindings.pop((owner, key), None)

    async def stored(self, owner: str) -> int:
        """Bytes of output of an owner's finished jobs."""
        return sum(
            end - start
            for record in self._records.values()
            if record.job.owner == owner and record.output is not None
            for stream in Stream
            for start, end in record.output.spans(stream)
        )

    def get(self, job_id: JobId) -> Job | None:
        """The record of a job: as it ended, or as it was accepted while it has not."""
        record = self._records.get(job_id)
        return record.job if record else None

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a finished job; raises ``JobNotFound`` where there is none."""
        output = self._record(job_id).output
        if output is None:
            raise JobNotFound
        return output

    async def find(self, query: JobQuery) -> Page:
        """The jobs that match, newest first. Raises ``InvalidRequest`` for a bad cursor."""
        if query.limit < 1:
            raise InvalidRequest(f"limit must be at least 1, not {query.limit}", field="limit")
        before = number_at(query.cursor) if query.cursor is not None else None
        records = [*islice(self._matching(query, before), query.limit + 1)]
        page = records[: query.limit]
        more = len(records) > query.limit
        jobs = tuple(brief(record.job) for record in page)
        return Page(jobs, cursor_at(page[-1].number) if more else None)

    async def unfinished(self) -> list[Job]:
        """Every job that was added and neither finished nor rolled back, oldest first."""
        return [brief(record.job) for record in self._records.values() if not record.job.ended]

    def _record(self, job_id: JobId) -> _Record:
        if job_id not in self._records:
            raise JobNotFound
        return self._records[job_id]

    def _matching(self, query: JobQuery, before: int | None) -> Iterator[_Record]:
        for record in reversed(self._records.values()):
            if (before is None or record.number < before) and query.matches(record.job):
                yield record


def _copy(output: OutputReader) -> MemoryOutput:
    copy = MemoryOutput()
    for stream in Stream:
        for start, end in output.spans(stream):
            copy.skip(stream, start - copy.end(stream))
            copy.append(stream, output.read(stream, start, end - start).data)
    return copy
