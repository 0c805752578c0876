"""One key, one job: what a retry is answered, decided over fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobworker.embedded import Manager
from jobworker.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    JobNotFound,
    ProgramNotFound,
    StorageFull,
    TooManyJobs,
)
from jobworker.jobs.idempotency import key_for_rerun, key_for_start
from jobworker.jobs.lifecycle import Lost, step
from jobworker.model import (
    Grant,
    Input,
    Job,
    JobId,
    Limits,
    Queued,
    Running,
    Spec,
    Starting,
    Status,
    Terms,
)
from jobworker.policy.authority import Authority
from jobworker.policy.rules import QueueBounds, Rules
from jobworker.testing import FakeEngine, MemoryArchive, MemoryOutput

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = Spec("/bin/true", ("a", "b"), {"A": "1", "B": "2"}, labels={"k": "v"})
OTHERS: Mapping[str, Any] = {
    "program": "/bin/false",
    "args": ("b", "a"),
    "env": {"A": "1"},
    "cwd": "/",
    "name": "n",
    "labels": {},
    "limits": Limits(pids=1),
    "grace": 1.5,
    "network": False,
    "run_as": "root",
    "containment": "full",
    "input": Input("pipe"),
}


def test_every_field_of_a_spec_counts() -> None:
    assert OTHERS.keys() == {each.name for each in fields(Spec)}
    digests = {key_for_start("k", replace(SPEC, **{name: OTHERS[name]})).digest for name in OTHERS}
    assert len(digests | {key_for_start("k", SPEC).digest}) == len(OTHERS) + 1


def test_every_limit_counts() -> None:
    specs = [Spec("/bin/true", limits=Limits(**{each.name: 9})) for each in fields(Limits)]
    assert len({key_for_start("k", spec).digest for spec in specs}) == len(specs)


def test_what_is_equal_has_one_digest() -> None:
    """The order of names does not matter, nor whether a whole number has a point."""
    same = replace(SPEC, env={"B": "2", "A": "1"}, grace=2.0, limits=Limits(timeout=60))
    spec = replace(SPEC, grace=2, limits=Limits(timeout=60.0))
    assert key_for_start("k", spec) == key_for_start("k", same)


def test_text_that_is_no_unicode_has_a_digest() -> None:
    assert key_for_start("k", Spec("/bin/\udcff")) != key_for_start("k", Spec("/bin/\udcfe"))


def test_the_digest_stays_what_it_is() -> None:
    """A key is good for ever: over versions that add fields too."""
    digest = "9852e44bc9a8d4723e4553626d2b758f"
    assert key_for_start("k", SPEC).digest.hex()[:32] == digest


def test_a_rerun_is_not_a_start() -> None:
    job_id = JobId.new()
    keys = {key_for_rerun("k", job_id), key_for_rerun("k", JobId.new()), key_for_start("k", SPEC)}
    assert len(keys) == 3
    assert key_for_rerun("k", job_id) == key_for_rerun("k", job_id)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "é", "\x7f", "a" * 256, "\udcff"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        key_for_start(text, SPEC)
    assert caught.value.field == "Idempotency-Key"


@pytest.mark.parametrize("text", ["a", "!~", 'a"b', "a" * 255, "8e03978e-40d5-43dd-bc93-6894a57f"])
def test_what_is_a_key(text: str) -> None:
    assert key_for_start(text, SPEC).text == text


class CountingEngine(FakeEngine):
    """Counts what it is given to start."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[JobId] = []
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.gone = asyncio.Event()

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        self.started.append(job.id)
        self.asked.set()
        await self.go_on.wait()
        await super().start(job, account, grant)

    async def discard(self, job_id: JobId) -> None:
        await super().discard(job_id)
        self.gone.set()


@pytest.fixture
async def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
async def manager(
    tmp_path: Path, engine: CountingEngine, archive: MemoryArchive
) -> AsyncIterator[Manager]:
    async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
        yield manager


async def start(
    manager: Manager, key: str | None = "k", spec: Spec = SPEC, owner: str = "alice"
) -> Job:
    return await manager.submit(spec, owner, idempotency_key=key)


async def test_the_same_key_is_the_same_job(manager: Manager, engine: CountingEngine) -> None:
    """While it runs, when it has ended, and when it is in the archive."""
    job = await start(manager)
    assert (await start(manager)).id == job.id
    engine.exit(job.id, 3)
    assert (await start(manager)).exit_code == 3
    await engine.gone.wait()
    assert (await start(manager)).id == job.id
    assert engine.started == [job.id]


async def test_starts_without_a_key_are_jobs_of_their_own(
    manager: Manager, engine: CountingEngine
) -> None:
    await start(manager, None)
    await start(manager, None)
    assert len(set(engine.started)) == 2


async def test_a_key_is_each_users_own(manager: Manager) -> None:
    alice, bob = await start(manager), await start(manager, owner="bob")
    assert (alice.owner, bob.owner) == ("alice", "bob")
    assert alice.id != bob.id


async def test_the_same_key_for_another_request(manager: Manager, engine: CountingEngine) -> None:
    """Also while the first is under way."""
    engine.go_on.clear()
    first = asyncio.create_task(start(manager))
    await engine.asked.wait()
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused):
            await start(manager, spec=Spec("/bin/false"))
        engine.go_on.set()
        await first
    assert len(engine.started) == 1


async def test_t27_a_hundred_at_once(manager: Manager, engine: CountingEngine) -> None:
    engine.go_on.clear()
    starts = [asyncio.create_task(start(manager)) for _ in range(100)]
    await engine.asked.wait()
    starts[0].cancel()  # who sent it first may leave
    engine.go_on.set()
    jobs = await asyncio.gather(*starts[1:])
    assert {job.id for job in jobs} == set(engine.started)
    assert len(engine.started) == 1
    assert isinstance(jobs[0].status, Running)


async def test_all_are_refused_together_and_may_try_again(
    manager: Manager, engine: CountingEngine
) -> None:
    engine.refuse_next(ProgramNotFound())
    engine.go_on.clear()
    starts = [asyncio.create_task(start(manager)) for _ in range(5)]
    await engine.asked.wait()
    engine.go_on.set()
    refused = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(each) for each in refused] == [ProgramNotFound] * 5
    job = await start(manager)
    assert engine.started[1:] == [job.id]
    with pytest.raises(IdempotencyKeyReused):
        await start(manager, spec=Spec("/bin/false"))


async def test_a_refusal_before_anything_is_recorded_binds_nothing(
    tmp_path: Path, engine: CountingEngine, archive: MemoryArchive
) -> None:
    authority = Authority(Rules(queue=QueueBounds(running=0, queued=0)))
    async with Manager.open(
        tmp_path, engine=engine, archive=archive, authority=authority
    ) as manager:
        with pytest.raises(TooManyJobs):
            await start(manager)
        assert archive.binding("alice", "k") is None
    async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
        assert isinstance((await start(manager, spec=Spec("/bin/false"))).status, Running)


async def test_a_queued_job_counts_as_started(
    tmp_path: Path, engine: CountingEngine, archive: MemoryArchive
) -> None:
    """Over a restart too."""
    authority = Authority(Rules(queue=QueueBounds(running=0)))
    ids = set()
    for _ in range(2):
        async with Manager.open(
            tmp_path, engine=engine, archive=archive, authority=authority
        ) as manager:
            for _ in range(2):
                job = await start(manager)
                assert isinstance(job.status, Queued)
                ids.add(job.id)
    assert len(ids) == 1
    assert not engine.started


async def test_a_restart_changes_nothing(
    tmp_path: Path, engine: CountingEngine, archive: MemoryArchive
) -> None:
    for _ in range(2):
        async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
            await start(manager)
            with pytest.raises(IdempotencyKeyReused):
                await start(manager, spec=Spec("/bin/false"))
    assert len(engine.started) == 1


async def test_a_job_that_was_removed_is_not_started_again(
    manager: Manager, engine: CountingEngine
) -> None:
    job = await start(manager)
    engine.exit(job.id)
    await manager.remove(job.id)
    with pytest.raises(JobNotFound) as caught:
        await start(manager)
    assert caught.value.hint is not None
    assert "removed" in caught.value.hint
    assert len(engine.started) == 1


@pytest.mark.parametrize("lost", [Lost("cut", MOMENT, never_ran=True), Lost("cut", MOMENT)])
@pytest.mark.parametrize("status", [Starting(), Queued()])
async def test_a_start_that_a_crash_cut_off(
    tmp_path: Path, engine: CountingEngine, archive: MemoryArchive, lost: Lost, status: Status
) -> None:
    """It is begun again only if its program certainly never ran and nobody knows of it."""
    cut = Job(JobId.new(), "alice", SPEC, Terms(), status, MOMENT, "basic", "fake")
    await archive.add(cut, key_for_start("k", SPEC))
    ended, _ = step(cut, lost)
    await archive.finish(ended, MemoryOutput())
    async with Manager.open(tmp_path, engine=engine, archive=archive) as manager:
        again = await start(manager)
        assert (await start(manager)).id == again.id
        began_again = again.id != cut.id
    assert began_again == (lost.never_ran and status == Starting())
    assert len(engine.started) == began_again


class FullArchive(MemoryArchive):
    """Cannot forget, for want of space."""

    async def withdraw(self, job_id: JobId) -> None:  # noqa: ARG002 - the port's signature
        raise StorageFull


async def test_a_refused_start_binds_nothing_where_the_disk_is_full(
    tmp_path: Path, engine: CountingEngine
) -> None:
    async with Manager.open(tmp_path, engine=engine, archive=FullArchive()) as manager:
        engine.refuse_next(ProgramNotFound())
        with pytest.raises(ProgramNotFound):
            await start(manager)
        job = await start(manager)
        assert (await start(manager)).id == job.id == engine.started[1]
