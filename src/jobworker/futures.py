"""Waits on the event loop that may be cancelled at any time, by whoever waits."""

from __future__ import annotations

import asyncio


def resolve(future: asyncio.Future[None], error: Exception | None = None) -> None:
    """Sets a future's result, or its exception; one that is done, or cancelled, stays as it is."""
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)


async def until_writable(descriptor: int) -> None:
    """Returns once the descriptor takes data again."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, resolve, future)
    try:
        await future
    finally:
        loop.remove_writer(descriptor)
