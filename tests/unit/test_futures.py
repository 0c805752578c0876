"""Waits that may be cancelled at any time."""

from __future__ import annotations

import asyncio
import os

import pytest

from jobworker.futures import resolve, until_writable


async def test_a_future_is_resolved_or_fails() -> None:
    loop = asyncio.get_running_loop()
    good, bad = loop.create_future(), loop.create_future()
    resolve(good)
    resolve(bad, OSError("no"))
    await good
    with pytest.raises(OSError, match="no"):
        await bad


async def test_a_future_that_was_cancelled_stays_so() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    resolve(future)
    resolve(future, OSError("no"))
    assert future.cancelled()


async def test_a_full_pipe_is_waited_for() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        os.write(writer, bytes(1 << 20))  # as much of it as there is room for
        waiting = asyncio.ensure_future(until_writable(writer))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.read(reader, 65536)
        await asyncio.wait_for(waiting, 10)
    finally:
        os.close(reader)
        os.close(writer)
