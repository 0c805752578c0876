"""Room on the disk: who waits for it is woken when some was made.

Other programs make room, too, and nobody tells of that: so each wait has an end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from jobworker.futures import resolve


class Room:
    """The waits for room, first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Room: {len(self._waiting)} waiting>"

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` each time that room was made."""
        self._listeners.append(listener)

    def made(self) -> None:
        """Wakes the one who has waited longest, who wakes the next one where there was enough.

        All at once would ask the disk a thousand times where a thousand jobs wait.
        """
        for listener in self._listeners:
            listener()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                resolve(waiter)
                return

    async def wait(self, seconds: float) -> None:
        """Returns when it is this caller's turn, at the latest after so many seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return
        finally:
            waiter.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
