"""How a follower reads: which files it keeps open for how long, and where it waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.model import End, JobId, Piece, Stream
from jobworker.output import follower
from jobworker.output.follower import CHUNK, Follower
from jobworker.output.reader import OutputReader, Span
from jobworker.testing import FakeEngine, MemoryArchive, MemoryOwners
from jobworker.testing.engine import FakeOutput

PATIENCE = 5
"""Seconds for what takes milliseconds."""

WHOLE = 8
"""Chunks of the output."""


class Watched:
    """A reader that tells its engine who reads, and when it is closed."""

    def __init__(self, reader: OutputReader, engine: WatchedEngine) -> None:
        self._reader = reader
        self._engine = engine

    def size(self, stream: Stream) -> int:
        return self._reader.size(stream)

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        return self._reader.spans(stream)

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        self._engine.reads.append(threading.current_thread() is threading.main_thread())
        return self._reader.read(stream, offset, length)

    def close(self) -> None:
        self._engine.opened -= 1
        self._reader.close()


class WatchedOutput(FakeOutput):
    """Makes readers that are watched."""

    def __init__(self, engine: WatchedEngine) -> None:
        super().__init__(engine._jobs)
        self._engine = engine

    def reader(self, job_id: JobId) -> OutputReader:
        self._engine.made += 1
        self._engine.opened += 1
        return Watched(super().reader(job_id), self._engine)


class WatchedEngine(FakeEngine):
    """Knows how many readers it has made, and how many of them are open.

    ``reads`` has for each read whether it held up the event loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output = WatchedOutput(self)
        self.made = self.opened = 0
        self.reads: list[bool] = []


@pytest.fixture
async def engine() -> WatchedEngine:
    return WatchedEngine()


@pytest.fixture
async def manager(tmp_path: Path, engine: WatchedEngine) -> AsyncIterator[Manager]:
    async with Manager.open(
        tmp_path, engine=engine, archive=MemoryArchive(), owners=MemoryOwners()
    ) as manager:
        yield manager


@pytest.fixture
async def job(manager: Manager, engine: WatchedEngine) -> JobId:
    """A job that has written ``WHOLE`` chunks and runs on."""
    job = await manager.start("/bin/cat", owner="alice")
    engine.write(job, bytes(WHOLE * CHUNK))
    return job


async def take(chunks: AsyncIterator[bytes], length: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while length:
            length -= len(await anext(chunks))


async def until_closed(engine: WatchedEngine) -> None:
    async with asyncio.timeout(PATIENCE):
        while engine.opened:  # noqa: ASYNC110 - a file that is closed sets no event
            await asyncio.sleep(0)


async def test_who_is_behind_reads_on_in_the_files_it_has_open(
    manager: Manager, engine: WatchedEngine, job: JobId
) -> None:
    async with aclosing(manager.follow(str(job), Stream.STDOUT)) as chunks:
        await take(chunks, WHOLE * CHUNK)
        assert (engine.made, engine.opened) == (1, 1)
    assert engine.opened == 0


async def test_a_slow_reader_keeps_no_file_open(
    manager: Manager, engine: WatchedEngine, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted would stay on the disk for as long."""
    monkeypatch.setattr(follower, "SOON", 0.01)
    async with aclosing(manager.follow(str(job), Stream.STDOUT)) as chunks:
        await take(chunks, CHUNK)
        assert engine.opened == 1
        await until_closed(engine)
        await take(chunks, (WHOLE - 1) * CHUNK)


async def test_who_has_caught_up_keeps_no_file_open(
    manager: Manager, engine: WatchedEngine, job: JobId
) -> None:
    async with aclosing(manager.follow(str(job), Stream.STDOUT)) as chunks:
        await take(chunks, WHOLE * CHUNK)
        engine.write(job, b"more")
        waiting = asyncio.create_task(take(chunks, len(b"more")))
        await waiting
        assert engine.opened == 0
        nothing_yet = asyncio.create_task(take(chunks, len(b"last")))
        await asyncio.sleep(0)
        await until_closed(engine)
        engine.write(job, b"last")
        await nothing_yet


@pytest.mark.parametrize(("budget", "on_the_loop"), [(0.0, False), (PATIENCE, True)])
async def test_only_reads_that_are_quick_hold_up_the_event_loop(
    manager: Manager,
    engine: WatchedEngine,
    job: JobId,
    monkeypatch: pytest.MonkeyPatch,
    budget: float,
    on_the_loop: bool,  # noqa: FBT001 - a parameter of a test
) -> None:
    """Of the first it is not known."""
    monkeypatch.setattr(follower, "QUICK", budget)
    async with aclosing(manager.follow(str(job), Stream.STDOUT)) as chunks:
        await take(chunks, WHOLE * CHUNK)
    first, *later = engine.reads
    assert not first
    assert len(later) >= WHOLE - 1
    assert set(later) == {on_the_loop}


async def test_the_repr_shows_where_it_reads(
    manager: Manager, engine: WatchedEngine, job: JobId
) -> None:
    def read(reader: OutputReader, _: End | None) -> bytes:
        return reader.read(Stream.STDOUT, 0, 1).data

    source = manager._outputs._follower(str(job))._source
    with closing(Follower(source)) as follower:
        assert repr(follower) == f"<Follower of <JobOutput {job}>, waiting>"
        await follower.next(read)
        assert repr(follower) == f"<Follower of <JobOutput {job}>, open>"
        follower.release()
        assert repr(follower) == f"<Follower of <JobOutput {job}>, waiting>"
        engine.exit(job)
        async with asyncio.timeout(PATIENCE):
            while not source.is_archived():  # noqa: ASYNC110 - turns of the loop
                await asyncio.sleep(0)
        await follower.next(read)
        assert repr(follower) == f"<Follower of <JobOutput {job}>, archived>"
