"""What every engine must do: that of this machine, with real supervisors and programs, and
the fake that tests of users rely on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.errors import (
    InputClosed,
    IsolationUnavailable,
    JobNotRunning,
    ProgramNotFound,
    ServiceUnavailable,
)
from jobworker.jobs.lifecycle import Ended, Extended, Lost, Refused, Started, StopAsked
from jobworker.model import Cause, Input, Job, Limits, SignalRequest, StopRequest, Stream, Terms
from jobworker.supervisor.records import INDEX_ENTRY
from support.engine_rigs import (
    BUDGET,
    EngineRig,
    FakeRig,
    LocalRig,
    Told,
    until_removed,
    until_written,
    written,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STOP = StopRequest("bob", NOW)
TERM = SignalRequest(signal.SIGTERM, "bob", NOW)
LIMITED = Terms(Limits(timeout=1000))


@pytest.fixture(params=["local", "fake"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EngineRig]:
    made = LocalRig(tmp_path) if request.param == "local" else FakeRig()
    await made.open()
    await made.engine.recover([])  # as a server does before it starts anything
    yield made
    await made.close()


async def ended(rig: EngineRig, code: int = 0) -> Job:
    """A job that has ended."""
    job = await rig.start()
    await rig.exit(job, code)
    await rig.told.first(job, Ended)
    return job


async def discarded(rig: EngineRig) -> Job:
    """A job of which nothing is kept any more."""
    job = await ended(rig)
    await rig.engine.discard(job.id)
    return job


# Started.


async def test_a_start_is_told_with_the_programs_pid(rig: EngineRig) -> None:
    job = await rig.start()
    (started,) = rig.told.of(job)
    assert isinstance(started, Started)
    assert started.pid > 1


async def test_an_exit_is_told_with_its_code_and_what_was_written(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.write(job, "out")
    await rig.write(job, "error", Stream.STDERR)
    await rig.exit(job, 3)
    end = (await rig.told.first(job, Ended)).end
    started = await rig.told.first(job, Started)
    assert (end.cause, end.exit_code, end.signal, end.stopped_by) == (Cause.EXITED, 3, None, None)
    assert (end.usage.stdout_bytes, end.usage.stderr_bytes, end.gaps) == (3, 5, ())
    assert end.started_at == started.at <= end.finished_at
    assert [type(event) for event in rig.told.of(job)] == [Started, Ended]


async def test_a_crash_is_told_by_its_signal(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.crash(job)
    end = (await rig.told.first(job, Ended)).end
    assert (end.cause, end.exit_code, end.signal) == (Cause.SIGNALED, None, "SIGSEGV")


async def test_a_job_that_vanishes_is_lost(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.lose(job)
    lost = await rig.told.first(job, Lost)
    assert not lost.never_ran
    await rig.engine.discard(job.id)
    assert [type(event) for event in rig.told.of(job)] == [Started, Lost]


async def test_events_go_to_the_listener_that_was_given_last(rig: EngineRig) -> None:
    job, later = await rig.start(), Told()
    rig.engine.listen(later)
    await rig.exit(job)
    await later.first(job, Ended)
    assert [type(event) for event in rig.told.of(job)] == [Started]


async def test_jobs_do_not_mix(rig: EngineRig) -> None:
    first, second = await rig.start(), await rig.start()
    await rig.write(first, "first")
    await rig.write(second, "second")
    await rig.exit(first, 1)
    await rig.told.first(first, Ended)
    await until_written(rig.engine, second, b"second")
    assert written(rig.engine, first) == b"first"
    assert [type(event) for event in rig.told.of(second)] == [Started]


# Refused.


async def test_a_program_that_is_not_there_is_refused(rig: EngineRig) -> None:
    await rig.expect_missing_program()
    job = rig.job(rig.MISSING)
    await rig.hand_over(job)
    refused = await rig.told.first(job, Refused)
    assert isinstance(refused.error, ProgramNotFound)
    await rig.start()  # which is refused nothing
    assert rig.told.of(job) == [refused]


async def test_a_refused_job_leaves_nothing_to_act_on_or_to_read(rig: EngineRig) -> None:
    await rig.expect_missing_program()
    job = rig.job(rig.MISSING)
    await rig.hand_over(job)
    await rig.told.first(job, Refused)
    await rig.engine.stop(job.id, STOP)
    await rig.engine.extend(job.id, 5, "bob")
    with pytest.raises(JobNotRunning):
        await rig.engine.signal(job.id, TERM)
    assert written(rig.engine, job) == b""
    await rig.engine.discard(job.id)
    with pytest.raises(FileNotFoundError):
        rig.engine.output.reader(job.id)
    assert [type(event) for event in rig.told.of(job)] == [Refused]


async def test_what_is_not_available_is_refused_before_anything_is_made_of_it(
    rig: EngineRig,
) -> None:
    await rig.expect_unavailable()
    job = rig.job(terms=rig.UNAVAILABLE)
    with pytest.raises(IsolationUnavailable):
        rig.engine.check(job.spec, job.terms)
    with pytest.raises(IsolationUnavailable):
        await rig.hand_over(job)
    with pytest.raises(FileNotFoundError):
        rig.engine.output.reader(job.id)
    assert rig.told.of(job) == []


# Stopped.


async def test_a_stop_ends_a_job_and_is_told_with_who_asked(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.engine.stop(job.id, STOP)
    end = (await rig.told.first(job, Ended)).end
    assert (end.cause, end.stopped_by) == (Cause.STOPPED, "bob")
    assert (end.exit_code, end.signal) == (None, "SIGKILL")


async def test_a_stop_that_comes_late_changes_nothing(rig: EngineRig) -> None:
    job = await ended(rig, 3)
    events = rig.told.of(job)
    await rig.engine.stop(job.id, STOP)
    await rig.engine.discard(job.id)
    await rig.engine.stop(job.id, STOP)
    await rig.engine.stop(rig.job().id, STOP)
    await discarded(rig)  # by when whatever had come of them would have been told
    assert rig.told.of(job) == events


# Signalled.


async def test_a_signal_reaches_the_program(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.engine.signal(job.id, TERM)
    await rig.heed(job, "SIGTERM")
    end = (await rig.told.first(job, Ended)).end
    assert (end.cause, end.exit_code, end.signal) == (Cause.SIGNALED, None, "SIGTERM")


async def test_nobody_is_signalled_once_the_program_has_ended(rig: EngineRig) -> None:
    for job in (await ended(rig), await discarded(rig), rig.job()):
        with pytest.raises(JobNotRunning):
            await rig.engine.signal(job.id, TERM)


# Extended.


async def test_an_extended_job_goes_on_and_the_next_server_learns_of_it(rig: EngineRig) -> None:
    job = await rig.start(terms=LIMITED)
    await rig.engine.extend(job.id, 1500.0, "alice")
    await rig.engine.extend(job.id, 2000.0, "bob")
    events = rig.told.of(job)
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    assert rig.told.of(job) == [*events, Extended(2000.0, "bob")]


async def test_an_extension_that_comes_late_changes_nothing(rig: EngineRig) -> None:
    job = await ended(rig)
    events = rig.told.of(job)
    await rig.engine.extend(job.id, 2000.0, "bob")
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    assert rig.told.of(job) == events
    await rig.engine.extend((await discarded(rig)).id, 2000.0, "bob")
    await rig.engine.extend(rig.job().id, 2000.0, "bob")


# Recovered.


async def test_a_running_job_is_found_again_and_followed(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.write(job, "before")
    await until_written(rig.engine, job, b"before")
    events = rig.told.of(job)
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    assert rig.told.of(job) == events
    await rig.write(job, " and after")
    await until_written(rig.engine, job, b"before and after")
    with pytest.raises(JobNotRunning):
        await rig.engine.signal(rig.job().id, TERM)
    await rig.engine.signal(job.id, SignalRequest(signal.SIGCONT, "bob", NOW))
    await rig.exit(job, 4)
    assert (await rig.told.first(job, Ended)).end.exit_code == 4
    await rig.engine.discard(job.id)
    assert [type(event) for event in rig.told.of(job)] == [Started, Ended]


async def test_a_running_job_that_was_found_again_can_be_stopped(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    await rig.engine.stop(job.id, STOP)
    end = (await rig.told.first(job, Ended)).end
    assert (end.cause, end.stopped_by) == (Cause.STOPPED, "bob")


async def test_the_end_of_a_job_is_found_where_no_server_ran(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.write(job, "output")
    await until_written(rig.engine, job, b"output")
    (started,) = rig.told.of(job)
    await rig.shut_down()
    await rig.exit(job, 5)
    await rig.open()
    await rig.engine.recover([job])
    begun, over = rig.told.of(job)
    assert begun == started
    assert isinstance(over, Ended)
    assert (over.end.cause, over.end.exit_code) == (Cause.EXITED, 5)
    assert written(rig.engine, job) == b"output"
    await rig.engine.discard(job.id)


async def test_an_end_that_was_told_before_is_told_again_in_the_same_words(rig: EngineRig) -> None:
    """The server before may have died before it had archived the job."""
    job = await ended(rig, 6)
    events = rig.told.of(job)
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    assert rig.told.of(job) == events


async def test_a_job_that_is_not_known_is_lost_and_never_ran(rig: EngineRig) -> None:
    job = rig.job()
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    (lost,) = rig.told.of(job)
    assert isinstance(lost, Lost)
    assert lost.never_ran
    await rig.engine.discard(job.id)


async def test_a_stop_that_was_under_way_is_told(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.resist(job)
    stop = StopRequest("bob", NOW, grace=1000.0)
    await rig.engine.stop(job.id, stop)
    events = rig.told.of(job)
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([job])
    assert rig.told.of(job) == [*events, StopAsked(stop)]


async def test_what_no_server_knows_of_is_removed_and_not_told(rig: EngineRig) -> None:
    running, over, known = await rig.start(), await ended(rig), await rig.start()
    await rig.shut_down()
    await rig.open()
    await rig.engine.recover([known])
    for job in (running, over):
        await until_removed(rig.engine, job)
        assert rig.told.of(job) == []
    assert [type(event) for event in rig.told.of(known)] == [Started]


# Output.


async def test_both_streams_and_their_index_can_be_read(rig: EngineRig) -> None:
    job = await rig.start()
    assert written(rig.engine, job) == b""
    await rig.write(job, "one")
    await until_written(rig.engine, job, b"one")
    await rig.write(job, "three", Stream.STDERR)
    await until_written(rig.engine, job, b"three", Stream.STDERR)
    await rig.exit(job)
    await rig.told.first(job, Ended)  # by when the index is whole: it follows what it is about
    index = written(rig.engine, job, Stream.INDEX)
    entries = [(stream, length) for _, stream, length in INDEX_ENTRY.iter_unpack(index)]
    assert entries == [(Stream.STDOUT.value, 3), (Stream.STDERR.value, 5)]


async def test_a_change_is_told_to_all_who_wait_for_it(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.write(job, "before")
    await until_written(rig.engine, job, b"before")
    waiting = [rig.engine.output.change(job.id) for _ in range(3)]
    waiting.pop().cancel()
    await rig.write(job, " after")
    async with asyncio.timeout(BUDGET):
        await asyncio.gather(*waiting)
    await until_written(rig.engine, job, b"before after")


async def test_the_output_of_an_ended_job_stays_until_it_is_discarded(rig: EngineRig) -> None:
    job = await rig.start()
    await rig.write(job, "kept")
    await rig.exit(job)
    await rig.told.first(job, Ended)
    with closing(rig.engine.output.reader(job.id)) as opened:
        await rig.engine.discard(job.id)
        assert opened.read(Stream.STDOUT, 0, 100).data == b"kept"  # it was opened in time
    with pytest.raises(FileNotFoundError):
        rig.engine.output.reader(job.id)
    with pytest.raises(FileNotFoundError):
        rig.engine.output.change(job.id)


async def test_nobody_waits_for_the_output_of_a_discarded_job(rig: EngineRig) -> None:
    job = await ended(rig)
    change = rig.engine.output.change(job.id)
    await rig.engine.discard(job.id)
    await asyncio.wait_for(change, BUDGET)


async def test_shed_output_is_gone_also_for_who_reads_it(rig: EngineRig) -> None:
    """A reader holds no room, which a removal is to make."""
    job = await rig.start()
    await rig.write(job, "large")
    await rig.exit(job)
    await rig.told.first(job, Ended)
    with closing(rig.engine.output.reader(job.id)) as opened:
        await rig.engine.shed(job.id)
        assert opened.read(Stream.STDOUT, 0, 100).data == b""
    await rig.engine.discard(job.id)
    await rig.engine.shed(job.id)


# Input.


async def test_a_start_that_was_refused_can_be_made_again_with_its_input(rig: EngineRig) -> None:
    """It was put where the job would find it, and comes back."""
    await rig.expect_missing_program()
    job = rig.job(replace(rig.MISSING, input=Input.of(b"data")))
    await rig.engine.input.keep(job.id, b"data")
    await rig.hand_over(job)
    await rig.told.first(job, Refused)
    await rig.engine.withdraw(job.id)
    await rig.engine.withdraw(job.id)
    again = replace(job, spec=replace(job.spec, program=rig.READER.program))
    await rig.hand_over(again)
    await rig.told.first(again, Started)
    assert await rig.read_by(again) == b"data"


async def test_a_job_reads_what_was_kept_for_it(rig: EngineRig) -> None:
    data = b"given" * 1000
    job = rig.job(replace(rig.READER, input=Input.of(data)))
    await rig.engine.input.keep(job.id, data)
    await rig.hand_over(job)
    await rig.told.first(job, Started)
    assert await rig.read_by(job) == data


@pytest.mark.parametrize("by", ["drop", "sweep", "discard"])
async def test_a_job_whose_input_is_gone_does_not_start(rig: EngineRig, by: str) -> None:
    channel = rig.engine.input
    job, other = (rig.job(replace(rig.READER, input=Input.of(b"data"))) for _ in range(2))
    for each in (job, other):
        await channel.keep(each.id, b"data")
    if by == "drop":
        await channel.drop(job.id)
        await channel.drop(job.id)
    elif by == "sweep":
        await channel.sweep({other.id})
    else:
        await rig.engine.discard(job.id)
    with pytest.raises(ServiceUnavailable):
        await rig.hand_over(job)
    with pytest.raises(FileNotFoundError):
        rig.engine.output.reader(job.id)
    await rig.hand_over(other)
    await rig.told.first(other, Started)
    assert await rig.read_by(other) == b"data"
    assert rig.told.of(job) == []


async def test_kept_input_waits_for_the_next_server(rig: EngineRig) -> None:
    job = rig.job(replace(rig.READER, input=Input.of(b"data")))
    await rig.engine.input.keep(job.id, b"data")
    await rig.shut_down()
    await rig.open()
    await rig.engine.input.sweep({job.id})
    await rig.engine.recover([])
    await rig.hand_over(job)
    await rig.told.first(job, Started)
    assert await rig.read_by(job) == b"data"


async def test_a_job_reads_what_it_is_fed_by_one_after_another(rig: EngineRig) -> None:
    job = await rig.start(rig.READER)
    with closing(rig.engine.input.open(job)) as first:
        assert first.taken == 0
        await first.write(b"one ")
        await first.write(b"two ")
        assert first.taken == 8
        first.close()  # and a second time below: the input stays open
    with closing(rig.engine.input.open(job)) as second:
        await second.write(b"three")
        assert second.taken == 5
    await rig.engine.input.end(job.id)
    assert await rig.read_by(job) == b"one two three"


async def test_an_input_that_was_ended_takes_no_more(rig: EngineRig) -> None:
    job = await rig.start(rig.READER)
    await rig.engine.input.end(job.id)
    with pytest.raises(InputClosed):
        rig.engine.input.open(job)


async def test_who_feeds_a_job_learns_that_it_has_ended(rig: EngineRig) -> None:
    job = await rig.start()
    with closing(rig.engine.input.open(job)) as writer:
        await rig.exit(job)
        with pytest.raises(InputClosed):
            await writer.write(b"too late")
    with pytest.raises(InputClosed):
        rig.engine.input.open(job)
    await rig.engine.input.end(job.id)
    await rig.told.first(job, Ended)
    await rig.engine.discard(job.id)
    with pytest.raises(InputClosed):
        rig.engine.input.open(job)
    await rig.engine.input.end(job.id)


async def test_a_job_that_reads_no_input_cannot_be_fed(rig: EngineRig) -> None:
    job = await rig.start(replace(rig.READER, program="/bin/sleep", args=("1000",), input=None))
    with pytest.raises(InputClosed):
        rig.engine.input.open(job)


async def test_what_came_with_a_start_cannot_be_added_to(rig: EngineRig) -> None:
    """It is a file, which root could open for writing."""
    job = rig.job(replace(rig.READER, input=Input.of(b"data")))
    await rig.engine.input.keep(job.id, b"data")
    await rig.hand_over(job)
    await rig.told.first(job, Started)
    with pytest.raises(InputClosed):
        rig.engine.input.open(job)


# Discarded.


async def test_a_discard_waits_for_the_end_of_the_job(rig: EngineRig) -> None:
    job = await rig.start()
    discarding = asyncio.ensure_future(rig.engine.discard(job.id))
    await rig.write(job, "still here")
    await until_written(rig.engine, job, b"still here")
    await rig.exit(job)
    await asyncio.wait_for(discarding, BUDGET)
    assert [type(event) for event in rig.told.of(job)] == [Started, Ended]


async def test_a_discard_of_what_is_not_there_does_nothing(rig: EngineRig) -> None:
    job = await discarded(rig)
    events = rig.told.of(job)
    await rig.engine.discard(job.id)
    await rig.engine.discard(rig.job().id)
    assert rig.told.of(job) == events
