"""What a spawner holds does not grow with the jobs that it has had: it may live for years."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.engines.local.engine import LocalEngine
from jobworker.jobs.lifecycle import Ended, Event
from jobworker.model import Grant, Job, JobId, Level, Spec, Starting, Terms
from support.levels import AS_ROOT, working

JOBS = int(os.environ.get("JOBWORKER_GROWTH_JOBS", "1000"))
"""A small piece of memory that is lost with each, 16 bytes and more, is four pages in the end."""

WARM_UP = 100
AT_ONCE = 10
BUDGET = 120.0 * JOBS / 1000

SPARE = 2 * os.sysconf("SC_PAGE_SIZE")
"""What may come and go: a page of the stack that was not touched before, and one of the heap."""


@dataclass(frozen=True)
class Held:
    """What a process holds: its descriptors, by number, and bytes that are its alone."""

    descriptors: dict[str, str]
    private: int

    @classmethod
    def by(cls, pid: int) -> Held:
        directory = Path(f"/proc/{pid}/fd")
        descriptors = {path.name: str(path.readlink()) for path in directory.iterdir()}
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private"))
        return cls(descriptors, private * 1024)


def spawner(engine: LocalEngine) -> int:
    process = engine._spawner._spawner
    assert process
    return process._pid


class Runner:
    """Has jobs run and removed, some at a time."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._ends: dict[JobId, asyncio.Event] = {}
        engine.listen(self._hear)

    def _hear(self, job_id: JobId, event: Event) -> None:
        if isinstance(event, Ended):
            self._ends.pop(job_id).set()

    async def run(self, count: int) -> None:
        for _ in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._run_one() for _ in range(AT_ONCE)))

    async def _run_one(self) -> None:
        engine, now = self._engine, datetime.now(UTC)
        spec, at = Spec("/bin/true"), (engine.containment, engine.node)
        job = Job(JobId.new(), "alice", spec, Terms(), Starting(), now, *at)
        end = self._ends[job.id] = asyncio.Event()
        await engine.start(job, 0, Grant())
        await end.wait()
        await engine.discard(job.id)


@pytest.mark.parametrize("level", working("basic", *AS_ROOT))
async def test_what_a_spawner_holds_does_not_grow_with_its_jobs(
    tmp_path: Path, level: Level
) -> None:
    async with LocalEngine.open(tmp_path, level) as engine, asyncio.timeout(BUDGET):
        runner = Runner(engine)
        await engine.recover([])
        await runner.run(WARM_UP)
        before = Held.by(spawner(engine))
        await runner.run(JOBS)
        after = Held.by(spawner(engine))

    assert after.descriptors == before.descriptors
    assert after.private <= before.private + SPARE
