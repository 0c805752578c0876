"""The output of jobs, wherever it lies by now: nothing lost where it moves to the archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from jobworker.errors import JobNotFound, ProgramNotFound
from jobworker.jobs.live import Phase
from jobworker.jobs.outputs import JobOutput
from jobworker.model import Gap, JobId, Output, Stream
from jobworker.output.frames import Selection
from jobworker.output.reader import NoOutput
from support.parts import BUDGET, Parts, composed, until

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with composed(running=1) as parts:
        yield parts


def source(parts: Parts, job_id: str) -> JobOutput:
    return JobOutput(parts.outputs, parts.engine, parts.live_jobs, parts.queries, job_id)


async def soon(stream: AsyncIterator[bytes]) -> bytes:
    """The next bytes of a stream."""
    return await asyncio.wait_for(anext(stream), BUDGET)


async def test_a_follower_does_not_notice_that_the_output_moves(parts: Parts) -> None:
    """The directory is gone by the time that it looks again."""
    live = await parts.run()
    parts.engine.write(live.job.id, b"one ")
    async with aclosing(parts.outputs.follow(live.job.id, OUT)) as stream:
        assert await soon(stream) == b"one "
        parts.engine.write(live.job.id, b"two")
        parts.engine.exit(live.job.id)
        await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
        with pytest.raises(FileNotFoundError):
            parts.engine.output.reader(live.job.id)
        assert [piece async for piece in stream] == [b"two"]


async def test_frames_go_on_where_they_were_when_the_output_moves(parts: Parts) -> None:
    live = await parts.run()
    parts.engine.write(live.job.id, b"one ")
    async with aclosing(parts.outputs.frames(live.job.id)) as batches:
        (first,) = await asyncio.wait_for(anext(batches), BUDGET)
        parts.clock.advance(1)
        parts.engine.write(live.job.id, b"two", ERR)
        parts.engine.exit(live.job.id)
        await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
        rest = [frame async for batch in batches for frame in batch]
    assert [(frame.seq, frame.stream, frame.data) for frame in (first, *rest)] == [
        (4, OUT, b"one "),
        (7, ERR, b"two"),
    ]


async def test_the_end_lets_a_silent_follower_go(parts: Parts) -> None:
    live = await parts.run()

    async def follow() -> list[bytes]:
        return [piece async for piece in parts.outputs.follow(live.job.id, OUT)]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    parts.engine.exit(live.job.id)
    assert await asyncio.wait_for(following, BUDGET) == []


async def test_what_is_not_kept_is_left_out(parts: Parts) -> None:
    live = await parts.run()
    parts.engine.write(live.job.id, b"head")
    parts.engine.skip(live.job.id, 1000)
    parts.engine.write(live.job.id, b"tail")
    parts.engine.exit(live.job.id)
    whole = [piece async for piece in parts.outputs.follow(live.job.id, OUT)]
    within = [piece async for piece in parts.outputs.follow(live.job.id, OUT, 2)]
    behind = [piece async for piece in parts.outputs.follow(live.job.id, OUT, 1006)]
    assert (whole, within, behind) == ([b"head", b"tail"], [b"ad", b"tail"], [b"il"])
    assert await parts.outputs.output(live.job.id) == Output(b"headtail", b"", (Gap(OUT, 4, 1004),))


async def test_without_follow_it_ends_where_the_output_ended_at_the_call(parts: Parts) -> None:
    """However fast the job goes on writing."""
    live = await parts.run()
    parts.engine.write(live.job.id, b"then")
    seen = b""
    async with aclosing(parts.outputs.frames(live.job.id, follow=False)) as batches:
        async for batch in batches:
            seen += b"".join(frame.data for frame in batch)
            parts.clock.advance(1)
            parts.engine.write(live.job.id, b"now")
    assert seen == b"then"


async def test_the_tail_is_what_there_is_now_and_what_comes_then(parts: Parts) -> None:
    live = await parts.run()
    parts.engine.write(live.job.id, b"one\ntwo\nthree\n")
    seen = b""
    async with aclosing(parts.outputs.frames(live.job.id, tail=1)) as batches:
        async for batch in batches:
            seen += b"".join(frame.data for frame in batch)
            if seen == b"three\n":
                parts.engine.write(live.job.id, b"four\n")
                parts.engine.exit(live.job.id)
    assert seen == b"three\nfour\n"


async def test_one_stream_of_both(parts: Parts) -> None:
    live = await parts.run()
    parts.engine.write(live.job.id, b"out")
    parts.engine.write(live.job.id, b"err", ERR)
    parts.engine.exit(live.job.id)
    wanted = Selection(streams=(ERR,))
    batches = [batch async for batch in parts.outputs.frames(live.job.id, wanted)]
    assert [(frame.seq, frame.data) for batch in batches for frame in batch] == [(6, b"err")]


async def test_silence_is_told_and_an_end_goes_before_it(parts: Parts) -> None:
    """However short the silence that is to be told."""
    live = await parts.run()
    async with aclosing(parts.outputs.frames(live.job.id, idle=0)) as batches:
        assert await asyncio.wait_for(anext(batches), BUDGET) == []
        parts.engine.exit(live.job.id)
        assert [batch async for batch in batches if batch] == []


async def test_a_follower_that_leaves_is_no_longer_told(parts: Parts) -> None:
    """Neither of the job's end nor of its output."""
    live = await parts.run()
    parts.engine.write(live.job.id, b"one")
    stream = parts.outputs.follow(live.job.id, OUT)
    await soon(stream)
    waiting = asyncio.create_task(soon(stream))
    await until(lambda: ", 1 waiting" in repr(live))
    waiting.cancel()
    await asyncio.wait([waiting])
    await stream.aclose()
    await asyncio.sleep(0)  # the callbacks of what it has cancelled
    assert ", 0 waiting" in repr(live)


async def test_what_a_follower_waits_for(parts: Parts) -> None:
    """Of a queued job its start; of one that runs its end and its files; of no other anything."""
    live = await parts.run()
    queued = await parts.accept(queued=True)
    lost = await parts.accept()  # it has no directory
    waits = {job.job.id: source(parts, job.job.id).changes() for job in (live, queued, lost)}
    assert [len(waits[job.job.id]) for job in (live, queued, lost)] == [2, 1, 1]
    parts.engine.write(live.job.id, b"x")
    assert [future.done() for future in waits[live.job.id]] == [False, True]
    parts.engine.exit(live.job.id)
    assert [future.done() for future in waits[live.job.id]] == [True, True]
    assert source(parts, live.job.id).changes() == ()
    queued.advance(Phase.BEGUN)
    assert waits[queued.job.id][0].done()
    for future in waits[lost.job.id]:
        future.cancel()


async def test_where_the_output_lies(parts: Parts) -> None:
    live = await parts.run()
    lies = source(parts, live.job.id)
    assert not lies.is_archived()
    assert lies.end() is None
    parts.engine.exit(live.job.id)
    await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
    assert lies.is_archived()
    assert lies.end() == live.job.end
    await parts.archiver.remove_archived(live.job.id)
    for ask in (lies.end, lies.is_archived, lies.changes, lies.reader):
        with pytest.raises(JobNotFound):
            ask()


async def test_what_never_wrote_has_empty_output(parts: Parts) -> None:
    queued = await parts.accept(queued=True)
    assert isinstance(parts.outputs.reader(queued.job.id), NoOutput)
    assert await parts.outputs.output(queued.job.id) == Output(b"", b"")


async def test_there_is_no_output_of_what_is_no_job(parts: Parts) -> None:
    refused = await parts.accept()
    refused.refuse(ProgramNotFound())
    for job_id in (refused.job.id, JobId.new(), "j-1"):
        with pytest.raises(JobNotFound):
            parts.outputs.reader(job_id)
        with pytest.raises(JobNotFound):
            await parts.outputs.output(job_id)
        with pytest.raises(JobNotFound):
            await anext(parts.outputs.follow(job_id, OUT))
        with pytest.raises(JobNotFound):
            await anext(parts.outputs.frames(job_id))


async def test_the_repr_names_the_job(parts: Parts) -> None:
    live = await parts.run()
    assert repr(source(parts, live.job.id)) == f"<JobOutput {live.job.id}>"
