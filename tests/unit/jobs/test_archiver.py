"""From the spool to the archive: in which order, and again for as long as it is full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from jobworker.errors import StorageFull
from jobworker.jobs.live import LiveJob, Phase
from jobworker.jobs.room import Room
from jobworker.model import Cause, Completed, End, Job, JobId, Stream, Usage
from jobworker.output.reader import NoOutput, OutputReader
from jobworker.testing import FakeEngine, MemoryArchive
from support.parts import BUDGET, MOMENT, Parts, composed, until


class FullArchive(MemoryArchive):
    """Fails with ``errors``, one attempt each; ``acts`` has all that it and its engine did."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.acts: list[str] = []

    def _attempt(self, act: str) -> None:
        if self.errors:
            self.acts.append(f"cannot {act}")
            raise self.errors.pop(0)
        self.acts.append(act)

    async def finish(self, job: Job, output: OutputReader) -> None:
        self._attempt("finish")
        await super().finish(job, output)

    async def drop(self, job_id: JobId) -> None:
        self._attempt("drop")
        await super().drop(job_id)

    async def roll_back(self, job_id: JobId) -> None:
        self._attempt("roll back")
        await super().roll_back(job_id)


class NotingEngine(FakeEngine):
    """Notes what it sheds and discards among the acts of the archive."""

    def __init__(self, acts: list[str]) -> None:
        super().__init__()
        self._acts = acts

    async def shed(self, job_id: JobId) -> None:
        self._acts.append("shed")
        await super().shed(job_id)

    async def discard(self, job_id: JobId) -> None:
        self._acts.append("discard")
        await super().discard(job_id)


@pytest.fixture
def archive() -> FullArchive:
    return FullArchive()


@pytest.fixture
async def parts(archive: FullArchive) -> AsyncIterator[Parts]:
    async with composed(engine=NotingEngine(archive.acts), archive=archive) as parts:
        yield parts


class Pauses:
    """Stands in for the waits for room: keeps how long each was to be, and ends it at will."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._turns = asyncio.Semaphore(0)

    async def wait(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._turns.acquire()

    def end(self, count: int = 1) -> None:
        """Let as many pauses be over, now or when they come."""
        for _ in range(count):
            self._turns.release()


@pytest.fixture
async def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made = Pauses()
    monkeypatch.setattr(Room, "wait", lambda _, seconds: made.wait(seconds))
    return made


async def ended(parts: Parts, *, silent: bool = False) -> LiveJob:
    """A live job that has ended, with a line of output, which nobody archives yet."""
    live = await parts.run()
    parts.engine.listen(lambda _job, _event: None)
    parts.engine.write(live.job.id, b"line\n")
    parts.engine.exit(live.job.id)
    usage = Usage(stdout_bytes=0 if silent else 5)
    end = End(Cause.EXITED, MOMENT, exit_code=0, usage=usage)
    live.job = replace(live.job, status=Completed(end))
    live.advance(Phase.ENDED)
    return live


async def test_the_directory_goes_after_the_output_is_archived(
    parts: Parts, archive: FullArchive
) -> None:
    live = await ended(parts)
    await parts.archiver.archive(live)
    assert archive.acts == ["finish", "discard"]
    assert live.phase is Phase.GONE
    assert parts.live_jobs.get(live.job.id) is None
    assert archive.output(live.job.id).read(Stream.STDOUT, 0, 100).data == b"line\n"


async def test_a_full_archive_is_tried_again_until_it_takes_the_job(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    """Meanwhile the job is live, and its output is where it was."""
    live = await ended(parts)
    archive.errors = [StorageFull(), OSError(28, "No space left on device")]
    task = asyncio.create_task(parts.archiver.archive(live))
    for failures in (1, 2):
        await until(lambda n=failures: len(pauses.asked) == n)  # type: ignore[misc]
        assert archive.acts == ["cannot finish"] * failures
        assert parts.live_jobs.get(live.job.id) is live
        assert live.phase is Phase.ENDED
        assert parts.archiver.output(live).read(Stream.STDOUT, 0, 100).data == b"line\n"
        pauses.end()
    await asyncio.wait_for(task, BUDGET)
    assert archive.acts[2:] == ["finish", "discard"]


async def test_a_directory_that_cannot_be_removed_is_tried_again(
    parts: Parts, archive: FullArchive, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd of clients had left the directory of a job until the next start (T79)."""
    live = await ended(parts)
    discard, failures = parts.engine.discard, iter([OSError(24, "Too many open files")])

    async def fail_once(job_id: JobId) -> None:
        if failure := next(failures, None):
            raise failure
        await discard(job_id)

    monkeypatch.setattr(parts.engine, "discard", fail_once)
    pauses.end()
    await asyncio.wait_for(parts.archiver.archive(live), BUDGET)
    assert archive.acts == ["finish", "discard"]
    assert pauses.asked == [1]


async def test_the_pauses_grow_to_a_bound(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    live = await ended(parts)
    archive.errors = [StorageFull() for _ in range(8)]
    pauses.end(8)
    await asyncio.wait_for(parts.archiver.archive(live), BUDGET)
    assert pauses.asked == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_what_is_not_a_matter_of_room_is_not_tried_again(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    """A bug shows itself; the job stays, so that the next start can archive it."""
    live = await ended(parts)
    archive.errors = [RuntimeError("a bug")]
    with pytest.raises(RuntimeError):
        await parts.archiver.archive(live)
    assert pauses.asked == []
    assert parts.live_jobs.get(live.job.id) is live
    assert archive.acts == ["cannot finish"]
    assert repr(parts.archiver) == "<Archiver: 0 under way, 0 of them retried>"


async def test_files_are_closed_between_two_attempts(
    parts: Parts, archive: FullArchive, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await ended(parts)
    reader = parts.engine.output.reader(live.job.id)
    closed = 0

    def close() -> None:
        nonlocal closed
        closed += 1

    monkeypatch.setattr(reader, "close", close)
    archive.errors = [StorageFull()]
    task = asyncio.create_task(parts.archiver.archive(live))
    await until(lambda: pauses.asked)
    assert closed == 1
    pauses.end()
    await asyncio.wait_for(task, BUDGET)
    assert closed == 2


async def test_a_start_is_answered_after_the_first_attempt_to_roll_back(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    """Whatever came of that; the job is out of the table when no trace is left."""
    live = await parts.accept()
    live.refuse(StorageFull())
    archive.errors = [StorageFull(), StorageFull()]
    task = asyncio.create_task(parts.archiver.roll_back(live))
    await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
    assert archive.acts == ["cannot roll back"]
    assert parts.live_jobs.get(live.job.id) is live, "a list must know that it is none"
    assert archive.get(live.job.id) is not None
    pauses.end(2)
    await asyncio.wait_for(task, BUDGET)
    assert archive.acts[2:] == ["roll back", "discard"]
    assert parts.live_jobs.get(live.job.id) is None
    assert archive.get(live.job.id) is None


async def test_the_output_is_read_where_there_is_any(parts: Parts) -> None:
    live = await parts.run()
    assert not isinstance(parts.archiver.output(live), NoOutput)
    queued = await parts.accept(queued=True)
    assert isinstance(parts.archiver.output(queued), NoOutput), "it has no directory yet"
    silent = await ended(parts, silent=True)
    assert isinstance(parts.archiver.output(silent), NoOutput), "its directory need not be opened"


async def test_the_repr_shows_who_is_retried(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    first, second = await ended(parts), await parts.accept()
    archive.errors = [StorageFull()]
    tasks = [asyncio.create_task(parts.archiver.archive(first))]
    await until(lambda: pauses.asked)
    assert repr(parts.archiver) == "<Archiver: 1 under way, 1 of them retried>"
    tasks.append(asyncio.create_task(parts.archiver.roll_back(second)))
    pauses.end()
    await asyncio.wait_for(asyncio.gather(*tasks), BUDGET)
    assert repr(parts.archiver) == "<Archiver: 0 under way, 0 of them retried>"


async def test_a_job_that_is_removed_is_not_archived(
    parts: Parts, archive: FullArchive, pauses: Pauses
) -> None:
    """On a disk that its output has filled: nothing is copied, and the output goes first."""
    live = await ended(parts)
    archive.errors = [StorageFull()]
    archiving = asyncio.create_task(parts.archiver.archive(live))
    await until(lambda: pauses.asked)
    await asyncio.wait_for(parts.archiver.remove(live), BUDGET)
    assert archive.acts == ["cannot finish", "shed", "drop", "discard"]
    assert parts.live_jobs.get(live.job.id) is None
    assert archive.get(live.job.id) is None
    pauses.end()
    await asyncio.wait_for(archiving, BUDGET)
    assert len(archive.acts) == 4, "an attempt after the removal"


async def test_a_job_that_was_archived_at_the_same_moment_is_removed_from_there(
    parts: Parts, archive: FullArchive
) -> None:
    live = await ended(parts)
    async with live.moving:
        archiving = asyncio.create_task(parts.archiver.archive(live))
        removing = asyncio.create_task(parts.archiver.remove(live))
        await until(lambda: repr(parts.archiver).startswith("<Archiver: 1"))
    await asyncio.wait_for(asyncio.gather(archiving, removing), BUDGET)
    assert archive.acts == ["finish", "discard"]
    assert archive.get(live.job.id) is None


async def test_a_job_whose_removal_fails_stays(parts: Parts, archive: FullArchive) -> None:
    live = await ended(parts)
    archive.errors = [StorageFull()]
    with pytest.raises(StorageFull):
        await parts.archiver.remove(live)
    assert parts.live_jobs.get(live.job.id) is live
    await asyncio.wait_for(parts.archiver.remove(live), BUDGET)
    assert archive.get(live.job.id) is None
