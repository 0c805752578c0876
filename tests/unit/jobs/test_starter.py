"""From an order to a job: what is taken, recorded and given back on the way."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jobworker.errors import LimitUnavailable, ProgramNotFound, StorageFull
from jobworker.jobs.idempotency import key_for_start
from jobworker.jobs.live import Phase
from jobworker.jobs.starter import StartOrder
from jobworker.model import Grant, Input, Job, JobId, Queued, Running, Spec, StartKey
from jobworker.policy.rules import Rules
from jobworker.testing import FakeEngine, MemoryArchive
from support.parts import BUDGET, Parts, composed, until

ORDER = StartOrder(Spec("/bin/true"), "alice")
WITH_INPUT = StartOrder(Spec("/bin/cat", input=Input.of(b"data")), "alice", stdin=b"data")


class HoldingEngine(FakeEngine):
    """Starts nothing before ``go_on`` is set; ``broken`` is a bug in it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.broken: Exception | None = None

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        self.asked.set()
        await self.go_on.wait()
        if self.broken:
            raise self.broken
        await super().start(job, account, grant)


class FailingArchive(MemoryArchive):
    """Adds no job where it is ``full``; holds a roll-back until ``go_on`` is set.

    After ``add`` it waits for ``told``, as where the disk has a job and the loop does not know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.told = asyncio.Event()
        self.told.set()

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        if self.full:
            raise StorageFull
        await super().add(job, key)
        await self.told.wait()

    async def roll_back(self, job_id: JobId) -> None:
        await self.go_on.wait()
        await super().roll_back(job_id)


@pytest.fixture
async def engine() -> HoldingEngine:
    return HoldingEngine()


@pytest.fixture
async def archive() -> FailingArchive:
    return FailingArchive()


@pytest.fixture
async def parts(engine: HoldingEngine, archive: FailingArchive) -> AsyncIterator[Parts]:
    async with composed(running=1, engine=engine, archive=archive) as parts:
        yield parts


async def start(parts: Parts, order: StartOrder = ORDER) -> Job:
    return await asyncio.wait_for(parts.starter.start(order), BUDGET)


async def left(parts: Parts, order: StartOrder = ORDER) -> JobId:
    """A start whose caller has left while the engine was at it; the job's ID."""
    caller = asyncio.create_task(parts.starter.start(order))
    await asyncio.wait_for(parts.engine.asked.wait(), BUDGET)  # type: ignore[attr-defined]
    (job,) = await parts.archive.unfinished()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    return job.id


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What the event loop complains of: errors that nobody took."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    return found


KEYED = StartOrder(ORDER.spec, "alice", key=key_for_start("k", ORDER.spec))


@pytest.mark.parametrize("order", [ORDER, KEYED], ids=["without a key", "with a key"])
async def test_a_start_outlives_its_caller(
    parts: Parts, engine: HoldingEngine, order: StartOrder
) -> None:
    engine.go_on.clear()
    job_id = await left(parts, order)
    assert repr(parts.starter).startswith("<Starter: 1 under way")
    engine.go_on.set()
    await until(lambda: isinstance(parts.queries.status(job_id).status, Running))
    await until(lambda: repr(parts.starter).startswith("<Starter: 0 under way"))


@pytest.mark.parametrize("order", [ORDER, KEYED], ids=["without a key", "with a key"])
async def test_a_refusal_that_nobody_waits_for_is_no_complaint(
    parts: Parts, engine: HoldingEngine, order: StartOrder, complaints: list[dict[str, Any]]
) -> None:
    engine.go_on.clear()
    engine.refuse_next(ProgramNotFound())
    job_id = await left(parts, order)
    engine.go_on.set()
    await until(lambda: parts.archive.get(job_id) is None)
    await until(lambda: repr(parts.starter).startswith("<Starter: 0 under way"))
    gc.collect()  # a task complains when it is collected
    assert complaints == []


async def test_a_bug_in_a_start_that_nobody_waits_for_is_logged(
    parts: Parts, engine: HoldingEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    engine.broken = RuntimeError("a bug")
    engine.go_on.clear()
    await left(parts)
    engine.go_on.set()
    await until(lambda: caplog.records)
    assert caplog.messages == ["a start came to nothing"]


async def test_a_refusal_is_told_when_no_trace_is_left(
    parts: Parts, engine: HoldingEngine, archive: FailingArchive
) -> None:
    archive.go_on.clear()
    engine.refuse_next(ProgramNotFound())
    starting = asyncio.create_task(parts.starter.start(ORDER))
    await asyncio.wait_for(engine.asked.wait(), BUDGET)
    (job,) = await archive.unfinished()
    live = parts.live_jobs.get(job.id)
    assert live is not None
    await asyncio.wait_for(live.reached(Phase.REFUSED), BUDGET)
    assert not starting.done()
    archive.go_on.set()
    with pytest.raises(ProgramNotFound):
        await asyncio.wait_for(starting, BUDGET)
    assert archive.get(job.id) is None


async def test_a_job_that_cannot_be_recorded_gives_its_slot_back(
    parts: Parts, archive: FailingArchive
) -> None:
    archive.full = True
    with pytest.raises(StorageFull):
        await start(parts)
    archive.full = False
    assert isinstance((await start(parts)).status, Running)


async def test_a_job_that_cannot_be_recorded_gives_its_place_in_the_queue_back(
    parts: Parts, archive: FailingArchive
) -> None:
    await start(parts)
    archive.full = True
    with pytest.raises(StorageFull):
        await start(parts)
    assert "_waiting=0" in repr(parts.controller)


async def test_there_is_no_input_without_its_job(
    parts: Parts, engine: HoldingEngine, archive: FailingArchive
) -> None:
    archive.full = True
    with pytest.raises(StorageFull):
        await start(parts, WITH_INPUT)
    assert engine.input.data == {}
    archive.full = False
    job = await start(parts, WITH_INPUT)
    assert engine.input.data == {job.id: b"data"}


async def test_what_is_not_available_here_takes_no_slot_and_leaves_no_record(
    parts: Parts, engine: HoldingEngine
) -> None:
    engine.unavailable = LimitUnavailable()
    with pytest.raises(LimitUnavailable):
        await start(parts, WITH_INPUT)
    assert await parts.archive.unfinished() == []
    assert engine.input.data == {}
    engine.unavailable = None
    assert isinstance((await start(parts)).status, Running)


async def test_a_queued_job_is_answered_without_the_engine(
    parts: Parts, engine: HoldingEngine
) -> None:
    """And what it will not see is known already."""
    await start(parts)
    engine.asked.clear()
    engine.hidden = "/srv is hidden"
    job = await start(parts)
    assert isinstance(job.status, Queued)
    assert not engine.asked.is_set()
    assert parts.queries.warning(job) == "/srv is hidden"


async def test_the_engine_gets_the_owners_number_and_what_was_granted(parts: Parts) -> None:
    alice = await start(parts)
    assert parts.engine.account_of(alice.id) == await parts.owners.account("alice")
    assert parts.engine.grant_of(alice.id).limits == alice.terms.limits
    parts.engine.exit(alice.id)
    bob = await start(parts, StartOrder(Spec("/bin/true"), "bob"))
    assert parts.engine.account_of(bob.id) == await parts.owners.account("bob")
    assert await parts.owners.account("alice") != await parts.owners.account("bob")


async def test_the_repr_shows_how_many_are_under_way(parts: Parts, engine: HoldingEngine) -> None:
    """And no key: with a name it would be enough to learn of somebody's job."""
    parts.authority.replace(Rules())
    parts.controller.refresh()
    engine.go_on.clear()
    secret = StartOrder(ORDER.spec, "alice", key=key_for_start("s3cret", ORDER.spec))
    tasks = [asyncio.create_task(parts.starter.start(order)) for order in (secret, secret, ORDER)]
    await until(lambda: "2 STARTING" in repr(parts.live_jobs))
    assert repr(parts.starter) == "<Starter: 3 under way, <KeyedStarts: 1 under way>>"
    engine.go_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks), BUDGET)
    assert repr(parts.starter) == "<Starter: 0 under way, <KeyedStarts: 0 under way>>"


async def test_a_job_is_live_as_soon_as_a_list_may_show_it(
    parts: Parts, archive: FailingArchive
) -> None:
    """So that a stop finds it, and who waits for its end is not answered at once."""
    archive.told.clear()
    starting = asyncio.create_task(parts.starter.start(ORDER))
    await until(lambda: "1 RECORDING" in repr(parts.live_jobs))
    (job,) = (await parts.queries.list()).jobs
    waiting = asyncio.create_task(parts.queries.wait(job.id))
    await asyncio.sleep(0)
    assert not waiting.done()
    archive.told.set()
    await asyncio.wait_for(starting, BUDGET)
    parts.engine.exit(job.id)
    assert (await asyncio.wait_for(waiting, BUDGET)).ended


async def test_a_job_that_cannot_be_recorded_is_not_live(
    parts: Parts, archive: FailingArchive
) -> None:
    archive.full = True
    with pytest.raises(StorageFull):
        await start(parts)
    assert repr(parts.live_jobs) == "<LiveJobs: none>"
