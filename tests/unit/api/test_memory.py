"""The bounds on what requests and answers take of the memory."""

from __future__ import annotations

import asyncio

import pytest

from jobworker.api import memory
from jobworker.api.answers import CHUNK
from jobworker.api.memory import Bounds, Budget, Streams
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


def test_chunks_get_smaller_with_the_number_of_streams() -> None:
    """T80: whatever their number, all of them together have some memory and no more."""
    streams = Streams()
    assert streams.chunk() == CHUNK
    opened = [streams.one_more() for _ in range(500)]
    for each in opened:
        each.__enter__()
    assert streams.chunk() == memory.STREAMS // memory.PIECES // 500
    for each in opened:
        each.__exit__(None, None, None)
    assert streams.chunk() == CHUNK
