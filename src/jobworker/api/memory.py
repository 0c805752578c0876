"""The bounds on the memory that requests and answers take: each, a user's, and all together."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import Self

from jobworker.api.answers import CHUNK
from jobworker.errors import ServiceUnavailable

STREAMS = 64 * 1024 * 1024
"""Bytes that all answers that are sent as they come are to have in memory."""

PIECES = 6
"""Chunks of a stream that a slow reader has in memory, at least; see ``answers.CHUNK``."""

LEAST_CHUNK = 4 * 1024
"""Bytes that a chunk may always have: with smaller ones the time goes into their heads."""

NEWCOMERS = 8
"""The part of its share that a stream has as long as nobody may read it."""

NEWCOMERS_CHUNK = 32 * 1024
"""Bytes of a chunk that it has in any case, if its share is as large. With a fourth of that 200
readers of a megabyte cost three times the CPU, which goes into the heads of chunks."""

CROWDED = STREAMS * 3 // 4
"""Bytes of all streams past which a newcomer's chunks are half as large."""

UNREAD = 512 * 1024
"""Bytes of a stream that nobody may have read yet: the kernel, the client's as well as ours
(``server/listening.py``), TLS and HTTP have room for some 400 KB."""

SMALL = 32 * 1024
"""Most bytes of a body that no account is kept of: those of all connections take 32 MiB."""


class Streams:
    """The answers that are sent as they come: the more there are, the smaller their chunks.

    Nobody can tell when a chunk has left the memory, as it waits in the server below us for
    a client that is slow. But the last ``PIECES`` of each stream are all that may be there.
    """

    def __init__(self) -> None:
        self.open = 0
        self.held = 0

    def __repr__(self) -> str:
        return f"<Streams: {self.open}, with {self.held} bytes at most>"

    def one(self) -> AnswerStream:
        """A stream, which counts as long as it is entered."""
        return AnswerStream(self)


class AnswerStream:
    """One of the ``Streams``, and the sizes of what it may have in memory."""

    __slots__ = ("_all", "_gone", "_sizes")

    def __init__(self, streams: Streams) -> None:
        self._all = streams
        self._gone = 0
        self._sizes: deque[int] = deque()

    def __repr__(self) -> str:
        return f"<AnswerStream: {self._gone} bytes gone, {list(self._sizes)} of {self._all!r}>"

    def __enter__(self) -> None:
        self._all.open += 1
        self._sizes.extend([0] * PIECES)

    def __exit__(self, *_: object) -> None:
        self._all.open -= 1
        self._all.held -= sum(self._sizes)
        self._sizes.clear()

    def chunk(self) -> int:
        """Most bytes of the next chunk: its share, or a part of that.

        So many who come one after another and read nothing take little. Those who have read
        until others came have more than their share, and the others less, until they read on.
        """
        most = share = STREAMS // PIECES // max(self._all.open, 1)
        if self._gone < UNREAD:
            most = max(share // NEWCOMERS, NEWCOMERS_CHUNK)
            if self._all.held > CROWDED:
                most = NEWCOMERS_CHUNK // 2
        elif self._all.held > STREAMS:
            most = int(share * (STREAMS / self._all.held) ** 2)
        return max(LEAST_CHUNK, min(CHUNK, share, most))

    def note(self, size: int) -> None:
        """Takes note of a chunk that is on its way; the oldest of ``PIECES`` has left."""
        oldest = self._sizes.popleft()
        self._sizes.append(size)
        self._gone += oldest
        self._all.held += size - oldest


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that all, and that one user may have at once; seconds to wait for a share."""

    total: int
    of_one: int
    patience: float = 0.0


class Budget:
    """Shares of something that there is only so much of, for instance bytes of memory.

    ``what`` names those who are refused one, as in ``too many large answers``.
    """

    def __init__(self, what: str, bounds: Bounds) -> None:
        self._what = what
        self._bounds = bounds
        self._taken: Counter[str] = Counter()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        taken = self._taken.total()
        return (
            f"<Budget for {self._what}: {taken} of {self._bounds.total}, {len(self._waiting)} wait>"
        )

    async def share(self, user: str, size: int) -> Share:
        """A share of that size, to be released; raises ``ServiceUnavailable`` after a while."""
        share = Share(self, user)
        try:
            async with asyncio.timeout(self._bounds.patience):
                while not self._fits(user, size):
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(future)
                    await future
        except TimeoutError:
            raise self._refusal() from None
        self._take(user, size)
        share.size = size
        return share

    def empty_share(self, user: str) -> Share:
        """A share of nothing yet."""
        return Share(self, user)

    def _fits(self, user: str, more: int) -> bool:
        if more <= 0:
            return True
        whole = self._taken.total() + more <= self._bounds.total
        return whole and self._taken[user] + more <= self._bounds.of_one

    def _take(self, user: str, more: int) -> None:
        self._taken[user] += more
        if not self._taken[user]:
            del self._taken[user]
        if more < 0:
            self._wake()

    def _wake(self) -> None:
        """Lets all who wait look again: only they know whether it is enough for them."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    def resize(self, share: Share, size: int) -> None:
        """Makes a share larger or smaller; raises ``ServiceUnavailable`` where it does not fit."""
        if not self._fits(share.user, size - share.size):
            raise self._refusal()
        self._take(share.user, size - share.size)
        share.size = size

    def _refusal(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"there are too many {self._what} at the moment", hint="send it again in a moment"
        )


class Share:
    """A share of a budget, to be released; once more changes nothing."""

    __slots__ = ("_budget", "size", "user")

    def __init__(self, budget: Budget, user: str) -> None:
        self._budget = budget
        self.user = user
        self.size = 0

    def __repr__(self) -> str:
        return f"<Share of {self.size} in {self._budget!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def resize(self, size: int) -> None:
        """Makes it larger or smaller; raises ``ServiceUnavailable`` where it does not fit."""
        self._budget.resize(self, size)

    def release(self) -> None:
        """Gives it back."""
        self._budget.resize(self, 0)
