"""The bounds on what requests and answers take of the memory."""

from __future__ import annotations

import asyncio

import pytest

from jobworker.api import memory
from jobworker.api.answers import CHUNK
from jobworker.api.memory import AnswerStream, Bounds, Budget, Streams
from jobworker.errors import ServiceUnavailable

BUDGET = 5.0
"""Seconds for a task to be woken, on a machine that is busy with other tests."""


def budget(patience: float = 0.0) -> Budget:
    return Budget("large things", Bounds(total=10, of_one=6, patience=patience))


async def test_a_share_is_given_back_once() -> None:
    shares = budget()
    with await shares.share("alice", 6) as share:
        assert repr(shares) == "<Budget for large things: 6 of 10, 0 wait>"
        share.release()
        share.release()
    assert repr(shares) == "<Budget for large things: 0 of 10, 0 wait>"


async def test_neither_a_user_nor_all_have_more_than_there_is() -> None:
    shares = budget()
    await shares.share("alice", 4)
    with pytest.raises(ServiceUnavailable, match="too many large things"):
        await shares.share("alice", 3)
    await shares.share("bob", 6)
    with pytest.raises(ServiceUnavailable):
        await shares.share("carol", 1)


async def test_a_share_that_grows_too_large_is_refused_and_stays() -> None:
    share = budget().empty_share("alice")
    share.resize(6)
    with pytest.raises(ServiceUnavailable):
        share.resize(7)
    assert share.size == 6


async def test_who_waits_is_served_when_there_is_room() -> None:
    shares = budget(patience=BUDGET)
    first = await shares.share("alice", 6)
    waiting = asyncio.ensure_future(shares.share("alice", 6))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.release()
    assert (await asyncio.wait_for(waiting, BUDGET)).size == 6


async def test_who_has_left_keeps_nobody_waiting() -> None:
    shares = budget(patience=BUDGET)
    first = await shares.share("alice", 6)
    left, waiting = (asyncio.ensure_future(shares.share("alice", 6)) for _ in range(2))
    await asyncio.sleep(0)
    left.cancel()
    first.release()
    assert (await asyncio.wait_for(waiting, BUDGET)).size == 6


def enter(streams: Streams, count: int, sent: int = 0) -> list[AnswerStream]:
    """Streams that have sent so many bytes each before the next of them came."""
    opened = []
    for _ in range(count):
        stream = streams.one()
        stream.__enter__()
        opened.append(stream)
        send(stream, sent)
    return opened


def send(stream: AnswerStream, size: int) -> None:
    while size > 0:
        stream.note(chunk := stream.chunk())
        size -= chunk


def share_of(count: int) -> int:
    return memory.STREAMS // memory.PIECES // count


def test_chunks_get_smaller_with_the_number_of_streams() -> None:
    """T80: whatever their number, all of them together have some memory and no more."""
    streams = Streams()
    assert streams.one().chunk() == CHUNK
    opened = enter(streams, 500)
    for each in opened:
        send(each, 2 * memory.UNREAD)
    assert {each.chunk() for each in opened} == {share_of(500)}
    assert memory.STREAMS * 0.9 < streams.held <= memory.STREAMS
    for each in opened:
        each.__exit__(None, None, None)
    assert streams.one().chunk() == CHUNK
    assert repr(streams) == "<Streams: 0, with 0 bytes at most>"


def test_many_who_come_one_after_another_and_read_nothing_take_little() -> None:
    """T80: each fills what there is room for while there are fewer than there will be."""
    streams = Streams()
    enter(streams, 500, sent=memory.UNREAD)
    assert streams.held < memory.STREAMS * 1.2


def test_many_who_stop_after_they_have_read_some_are_bounded_too() -> None:
    streams = Streams()
    enter(streams, 500, sent=8 * memory.UNREAD)
    assert streams.held < memory.STREAMS * 2.2


def test_who_comes_late_has_as_much_as_the_others_once_these_read_on() -> None:
    streams = Streams()
    early = enter(streams, 80, sent=8 * memory.UNREAD)
    (late,) = enter(streams, 1)
    assert memory.LEAST_CHUNK <= late.chunk() < share_of(81)
    for each in (*early, late):
        send(each, 4 * memory.UNREAD)
    assert late.chunk() == early[0].chunk() >= share_of(81) * 0.9
    assert streams.held <= memory.STREAMS * 1.1


def test_only_the_last_chunks_of_a_stream_count() -> None:
    streams = Streams()
    (stream,) = enter(streams, 1)
    for _ in range(3 * memory.PIECES):
        stream.note(1000)
    assert streams.held == memory.PIECES * 1000
