"""The state that handlers share, and the call that each of them is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jobworker.api.allocators import Heap, trim_of_libc
from jobworker.api.asgi import Receive
from jobworker.api.interruptions import Accounts, Interruptions
from jobworker.api.lasting import Place, Shares
from jobworker.api.memory import AnswerStream, Bounds, Budget, Streams
from jobworker.identity.users import User
from jobworker.jobs.manager import Manager
from jobworker.model import Job
from jobworker.policy.authority import Authority

T = TypeVar("T")

Trouble = Callable[[], Awaitable[str | None]]

DECODED = Bounds(total=2, of_one=1, patience=60.0)
"""Large bodies that are decoded at once: each takes a hundred MB for that moment, and a part of
a second. Others wait, until they would have waited as long as a body may take to come."""

BODIES = Bounds(total=192 * 1024 * 1024, of_one=64 * 1024 * 1024)
"""Bytes of large bodies that are in memory: six of the largest, of one user two."""

ANSWERS = Bounds(total=64 * 1024 * 1024, of_one=16 * 1024 * 1024, patience=10.0)
"""Bytes of large answers of one piece: each is in memory until the client has taken it."""


class ClientGone(Exception):
    """The client has closed the connection, so nobody reads an answer any more."""


class StreamBroken(Exception):
    """An answer cannot be completed; the connection is cut so that the client knows."""


@dataclass(slots=True)
class Service:
    """Everything that handlers share.

    ``operator_shares`` are those of the operator's socket, ``shares`` of everybody else.
    """

    jobs: Manager
    accounts: Accounts
    authority: Authority = field(default_factory=Authority)
    troubles: Sequence[Trouble] = ()
    """Each tells what keeps the server from its work, or None."""
    shares: Shares = field(default_factory=Shares)
    operator_shares: Shares = field(default_factory=Shares)
    streams: Streams = field(default_factory=Streams)
    heap: Heap = field(default_factory=lambda: Heap(trim_of_libc()))
    decoded: Budget = field(default_factory=lambda: Budget("large requests", DECODED))
    bodies: Budget = field(default_factory=lambda: Budget("large requests", BODIES))
    answers: Budget = field(default_factory=lambda: Budget("large answers", ANSWERS))
    interruptions: Interruptions = field(init=False)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.interruptions = Interruptions(self.accounts)

    def carry_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs ``work`` to its end even where the request that asked for it ends before."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


@dataclass(frozen=True, slots=True)
class Call:
    """One request that may be handled: who asked for what, decoded and permitted."""

    service: Service
    caller: User | None
    target: Job | None
    query: Any
    body: Any
    headers: list[tuple[bytes, bytes]]
    receive: Receive
    stream: AnswerStream
    """The answer's, where that is sent as it comes."""
    token: str | None = field(default=None, repr=False)
    shares: Shares = field(default_factory=Shares)

    @property
    def jobs(self) -> Manager:
        """The jobs to act on."""
        return self.service.jobs

    @property
    def user(self) -> User:
        """The user who asked; every route but the public ones has one."""
        assert self.caller is not None
        return self.caller

    @property
    def job(self) -> Job:
        """The job that the path names; every route with an ``{id}`` has one."""
        assert self.target is not None
        return self.target

    def lasting(self) -> Place:
        """A place for what waits, follows or attaches; raises ``TooManyRequests``."""
        return self.shares.lasting.take(self.user.name, self._most_lasting)

    def slow_stop(self) -> Place:
        """A place for a stop that waits for a grace; raises ``TooManyRequests``."""
        return self.shares.stops.take(self.user.name, self._most_lasting)

    @property
    def _most_lasting(self) -> int:
        return self.service.authority.rules.requests.lasting_per_user

    async def hold(self, work: Awaitable[T]) -> T:
        """Awaits ``work`` that may take long; see ``hold``."""
        return await hold(work, self.receive, self.service, self.token)


async def hold(work: Awaitable[T], receive: Receive, service: Service, token: str | None) -> T:
    """Awaits ``work`` that may take long, and cancels it once it is of no use any more.

    Raises ``ClientGone`` when the client leaves, ``BadAuthentication`` when ``token``
    does not count any more, and ``ServiceUnavailable`` when the server stops.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_until_gone(receive))
    interruption = service.interruptions.expect(token)
    try:
        await asyncio.wait((task, gone, interruption), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            gone.result()
            raise ClientGone
        raise interruption.result()
    finally:
        service.interruptions.forget(interruption)
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
