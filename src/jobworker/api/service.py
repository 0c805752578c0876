"""The state that handlers share, and the call that each of them is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from starlette.types import Receive

from jobworker.errors import ServiceUnavailable
from jobworker.identity.users import User
from jobworker.jobs.input import InputSession
from jobworker.model import Job, JobId, JobQuery, Output, Page, Role, Spec, Stream
from jobworker.output.frames import Frame, Selection
from jobworker.output.reader import OutputReader
from jobworker.policy.authority import Authority

T = TypeVar("T")

LOOK_AT_TOKEN = 5.0
"""Seconds between looks whether the token of an answer that lasts still counts."""


LARGE_BODIES = 4
"""Requests at once whose bodies are larger than most may be: each takes a hundred MB for
the moment of its decoding. Others wait."""


class Jobs(Protocol):
    """The part of ``manager.Manager`` that the API uses; the errors are documented there."""

    async def submit(
        self,
        spec: Spec,
        owner: str,
        role: Role,
        *,
        stdin: bytes | None,
        idempotency_key: str | None,
    ) -> Job:
        """Start a job, or find the one of this key; returns once its program runs or has run."""
        ...

    def attach(self, job_id: JobId, *, by: str, takeover: bool) -> InputSession:
        """Take hold of a job's input, from whoever has it where that is a ``takeover``."""
        ...

    def warning(self, job: Job) -> str | None:
        """What the owner of a new job had better know."""
        ...

    async def stop(self, job_id: JobId, *, by: str, grace: float) -> None:
        """Stop a job; returns once no process of it is left."""
        ...

    async def signal(self, job_id: JobId, signal: str | int, *, by: str) -> str:
        """Send a signal to a job's program; returns the signal's name."""
        ...

    async def rerun(
        self, job_id: JobId, *, by: str, role: Role, idempotency_key: str | None
    ) -> Job:
        """Start a new job of that caller's as another was asked for."""
        ...

    async def extend(self, job_id: JobId, seconds: float, *, by: str, role: Role) -> datetime:
        """Give a running job more time; returns its new deadline."""
        ...

    def status(self, job_id: JobId) -> Job:
        """The job as it is now."""
        ...

    async def wait(self, job_id: JobId, timeout: float | None) -> Job:
        """The job once it has ended, or as it is after ``timeout`` seconds."""
        ...

    async def output(self, job_id: JobId) -> Output:
        """All that the job has written so far."""
        ...

    def reader(self, job_id: JobId) -> OutputReader:
        """The same, piece by piece; the caller closes it."""
        ...

    def follow(self, job_id: JobId, stream: Stream, offset: int = 0) -> AsyncIterator[bytes]:
        """One stream from ``offset`` until the job has ended."""
        ...

    def frames(
        self,
        job_id: JobId,
        wanted: Selection,
        *,
        tail: int | None,
        follow: bool,
        idle: float | None,
    ) -> AsyncGenerator[list[Frame]]:
        """Both streams in the order in which they came."""
        ...

    async def list(self, query: JobQuery) -> Page:
        """The jobs that match, newest first."""
        ...

    async def remove(self, job_id: JobId) -> None:
        """Delete a finished job and its output."""
        ...


class Accounts(Protocol):
    """The part of ``identity.users.Users`` that the API uses."""

    def authenticate(self, token: str) -> User:
        """The user that the token belongs to; raises ``BadAuthentication``."""
        ...


class ClientGone(Exception):
    """The client has closed the connection, so nobody reads an answer any more."""


class StreamBroken(Exception):
    """An answer cannot be completed; the connection is cut so that the client knows."""


@dataclass(slots=True)
class Service:
    """Everything that handlers share; ``draining`` is set once the server stops."""

    jobs: Jobs
    accounts: Accounts
    authority: Authority = field(default_factory=Authority)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_BODIES))
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def until_refused(self, token: str) -> None:
        """Raises ``BadAuthentication`` once the token does not count any more."""
        while True:
            await asyncio.sleep(LOOK_AT_TOKEN)
            self.accounts.authenticate(token)

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
    token: str | None = field(default=None, repr=False)

    @property
    def jobs(self) -> Jobs:
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
    stopping = asyncio.create_task(service.draining.wait())
    everything: list[asyncio.Future[Any]] = [task, gone, stopping]
    if token is not None:
        everything.append(asyncio.create_task(service.until_refused(token)))
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            gone.result()
            raise ClientGone
        for refused in everything[3:]:
            if refused.done():
                refused.result()
        raise ServiceUnavailable("the server is stopping", hint="ask again in a moment")
    finally:
        for future in everything:
            future.cancel()
        await asyncio.gather(*everything, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
