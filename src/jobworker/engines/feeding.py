"""Feed a job that runs: into its pipe, as fast as its program reads and no faster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

from jobworker.errors import InputClosed
from jobworker.supervisor import terminal


class PipeFeed:
    """Writes to a job's pipe without holding up anybody else (``ports.InputWriter``).

    ``fd`` is its end of the pipe, not blocking, and closed with it. For a ``terminal``
    each piece is a frame.
    """

    def __init__(self, fd: int, *, is_terminal: bool) -> None:
        self._fd = fd
        self._is_terminal = is_terminal
        self.taken = 0

    async def write(self, data: bytes) -> None:
        """Return once the pipe has taken all of ``data``; raises ``InputClosed``."""
        if not self._is_terminal:
            async for length in self._put(data):
                self.taken += length
            return
        for frame in _typed(data):
            async for length in self._put(frame):
                self.taken += length - terminal.FRAME.size  # a frame goes whole or not at all

    async def resize(self, rows: int, cols: int) -> None:
        """Tell the terminal its size, after what was written before."""
        body = terminal.SIZE.pack(rows, cols)
        async for _ in self._put(terminal.FRAME.pack(terminal.WINDOW, len(body)) + body):
            pass

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._fd)

    async def _put(self, data: bytes) -> AsyncIterator[int]:
        """Write all of ``data``, and tell of each part how long it was."""
        left = memoryview(data)
        while left:
            try:
                length = os.write(self._fd, left)
            except BlockingIOError:
                await self._writable()
            except BrokenPipeError:
                raise InputClosed("the program reads no more input") from None
            else:
                left = left[length:]
                yield length

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._fd, _resolve, writable)
        try:
            await writable
        finally:
            loop.remove_writer(self._fd)


def _typed(data: bytes) -> Iterator[bytes]:
    most = terminal.MOST_TYPED
    for start in range(0, len(data), most):
        part = data[start : start + most]
        yield terminal.FRAME.pack(terminal.TYPED, len(part)) + part


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
