"""Lists of jobs, where the archive knows less than the manager."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.jobs import queries
from jobworker.model import Job, JobQuery, StatusName
from jobworker.output.reader import OutputReader
from jobworker.testing import FakeEngine, MemoryArchive


class LateArchive(MemoryArchive):
    """Takes the end of a job only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_finish = asyncio.Event()

    async def finish(self, job: Job, output: OutputReader) -> None:
        await self.may_finish.wait()
        await super().finish(job, output)


async def test_what_has_ended_is_not_among_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its output takes to move to the archive."""
    monkeypatch.setattr(queries, "_LISTING_PATIENCE", 0.01)
    engine, archive = FakeEngine(), LateArchive()
    async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
        job = await manager.start("/bin/true", owner="alice")
        engine.exit(job)
        await manager.wait(job)
        assert (await manager.list(JobQuery(status=StatusName.RUNNING))).jobs == ()
        query = JobQuery(status=StatusName.COMPLETED, owner="alice")
        assert [found.id for found in (await manager.list(query)).jobs] == [job], "to be removed"
        assert (await manager.list(replace(query, owner="bob"))).jobs == ()
        assert [found.id for found in (await manager.list(JobQuery())).jobs] == [job]
        archive.may_finish.set()
