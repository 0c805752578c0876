"""The shipped fakes, as the tests of users rely on them; the archive has its contract."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from jobworker.errors import ProgramNotFound
from jobworker.jobs.lifecycle import Ended, Event, Lost, Refused, Started
from jobworker.jobs.ports import Clock, Engine
from jobworker.model import Cause, Grant, Job, JobId, Spec, Starting, StopRequest, Stream, Terms
from jobworker.supervisor.records import INDEX_ENTRY
from jobworker.testing import FakeClock, FakeEngine

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
STOP = StopRequest("bob", MOMENT)

Told = list[tuple[JobId, Event]]


def make_job() -> Job:
    return Job(
        JobId.new(), "alice", Spec("/bin/true"), Terms(), Starting(), MOMENT, "basic", "fake"
    )


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
async def engine(told: Told) -> FakeEngine:
    made = FakeEngine()
    made.listen(lambda job_id, event: told.append((job_id, event)))
    return made


async def started(engine: FakeEngine) -> JobId:
    job = make_job()
    await engine.start(job, 7, Grant())
    await asyncio.sleep(0)  # the event comes with the next turn of the loop
    return job.id


async def test_the_fakes_fit_their_ports() -> None:
    clock: Clock = FakeClock()
    engine: Engine = FakeEngine(clock=clock, containment="full", node="n1")
    assert (engine.containment, engine.node, clock.now()) == ("full", "n1", MOMENT)


def test_the_clock_goes_only_when_it_is_told_to() -> None:
    clock = FakeClock()
    assert clock.now() == clock.now()
    clock.advance(1.5)
    assert (clock.now() - MOMENT).total_seconds() == 1.5
    clock.advance(-2)
    assert clock.now() < MOMENT


async def test_a_job_starts_after_the_call_has_returned(engine: FakeEngine, told: Told) -> None:
    job = make_job()
    await engine.start(job, 7, Grant())
    assert told == []
    await asyncio.sleep(0)
    ((job_id, event),) = told
    assert job_id == job.id
    assert isinstance(event, Started)
    assert engine.account_of(job.id) == 7


async def test_only_the_next_start_is_refused(engine: FakeEngine, told: Told) -> None:
    error = ProgramNotFound()
    engine.refuse_next(error)
    refused = await started(engine)
    await started(engine)
    assert told[0] == (refused, Refused(error, MOMENT))
    assert isinstance(told[1][1], Started)
    await engine.discard(refused)
    with pytest.raises(FileNotFoundError):
        engine.output.reader(refused)


async def test_the_test_says_how_a_job_ends(engine: FakeEngine, told: Told) -> None:
    first, second, third = [await started(engine) for _ in range(3)]
    told.clear()
    engine.write(first, b"out")
    engine.write(first, b"error", Stream.STDERR)
    engine.exit(first, 3)
    engine.kill(second, "SIGSEGV")
    engine.lose(third, "no idea")
    ends = [event.end for _, event in told if isinstance(event, Ended)]
    assert [(end.cause, end.exit_code, end.signal) for end in ends] == [
        (Cause.EXITED, 3, None),
        (Cause.SIGNALED, None, "SIGSEGV"),
    ]
    assert (ends[0].usage.stdout_bytes, ends[0].usage.stderr_bytes) == (3, 5)
    assert told[2] == (third, Lost("no idea", MOMENT))


async def test_a_stop_is_noted_and_obeyed(engine: FakeEngine, told: Told) -> None:
    job_id = await started(engine)
    await engine.stop(job_id, STOP)
    await asyncio.sleep(0)
    await engine.stop(job_id, STOP)
    assert engine.stops == [(job_id, STOP)] * 2
    _, (_, event) = told
    assert isinstance(event, Ended)
    assert (event.end.cause, event.end.stopped_by) == (Cause.STOPPED, "bob")


async def test_a_stop_need_not_be_obeyed(engine: FakeEngine, told: Told) -> None:
    job_id = await started(engine)
    engine.obeys = False
    await engine.stop(job_id, STOP)
    await asyncio.sleep(0)
    assert len(told) == 1
    assert engine.stops == [(job_id, STOP)]


async def test_output_and_its_index_can_be_read(engine: FakeEngine) -> None:
    job_id = await started(engine)
    engine.write(job_id, b"one")
    engine.write(job_id, b"three", Stream.STDERR)
    output = engine.output.reader(job_id)
    assert output.read(Stream.STDOUT, 1, 10).data == b"ne"
    entries = list(INDEX_ENTRY.iter_unpack(output.read(Stream.INDEX, 0, 1000).data))
    nanoseconds = int(MOMENT.timestamp()) * 1_000_000_000
    assert entries == [(nanoseconds, 1, 3), (nanoseconds, 2, 5)]


async def test_a_change_is_told_to_who_waited_for_it(engine: FakeEngine) -> None:
    job_id = await started(engine)
    waiting, leaving = engine.output.change(job_id), engine.output.change(job_id)
    leaving.cancel()
    assert not waiting.done()
    engine.write(job_id, b"now", Stream.STDERR)
    assert waiting.done()
    assert not engine.output.change(job_id).done()
    engine.exit(job_id)
    await engine.discard(job_id)
    with pytest.raises(FileNotFoundError):
        engine.output.change(job_id)


async def test_what_happens_without_a_server_is_told_by_recover(told: Told) -> None:
    engine = FakeEngine()
    running, over = [await started(engine) for _ in range(2)]
    engine.disconnect()
    engine.exit(over, 1)
    engine.listen(lambda job_id, event: told.append((job_id, event)))
    unknown = make_job()
    await engine.recover([_with_id(running), _with_id(over), unknown])
    await asyncio.sleep(0)
    assert [(job_id, type(event)) for job_id, event in told] == [
        (running, Started),
        (over, Started),
        (over, Ended),
        (unknown.id, Lost),
    ]


def _with_id(job_id: JobId) -> Job:
    return Job(job_id, "alice", Spec("/bin/true"), Terms(), Starting(), MOMENT, "basic", "fake")


async def test_a_discarded_job_is_gone(engine: FakeEngine) -> None:
    job_id = await started(engine)
    engine.exit(job_id)
    await engine.discard(job_id)
    await engine.discard(job_id)
    with pytest.raises(FileNotFoundError):
        engine.output.reader(job_id)


async def test_the_repr_of_the_engine_shows_its_jobs() -> None:
    engine = FakeEngine(node="n1")
    assert repr(engine) == "<FakeEngine basic on n1: 0 running, 0 ended>"
    first, _ = await started(engine), await started(engine)
    engine.exit(first)
    assert repr(engine) == "<FakeEngine basic on n1: 1 running, 1 ended>"
    await engine.discard(first)
    assert repr(engine) == "<FakeEngine basic on n1: 1 running, 0 ended>"
