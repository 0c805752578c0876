"""A real manager over an engine, an archive and owners in memory, and what to see of its work.

``managed`` and ``follower_closed`` are fixtures.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from jobworker.errors import BadAuthentication
from jobworker.identity.users import User
from jobworker.jobs.manager import Manager
from jobworker.model import Job, JobId, Spec
from jobworker.output.follower import Follower
from jobworker.policy.authority import Authority
from jobworker.testing import FakeClock, FakeEngine, MemoryArchive, MemoryOwners

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the clock of every managed world stands."""

PATIENCE = 20.0
"""Seconds after which a test gives up: far above what a loaded machine needs."""


@dataclass(frozen=True)
class Accounts:
    """Users by their tokens (``api.service.Accounts``)."""

    users: dict[str, User]

    def authenticate(self, token: str) -> User:
        if token not in self.users:
            raise BadAuthentication
        return self.users[token]


@dataclass
class Managed:
    """A manager and its parts, for a test to look at and to make things happen."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    authority: Authority = field(default_factory=Authority)
    engine: FakeEngine = field(init=False)
    manager: Manager = field(init=False)

    def __post_init__(self) -> None:
        self.engine = FakeEngine(clock=self.clock)
        self.manager = Manager(
            self.engine, self.archive, MemoryOwners(), self.clock, self.authority
        )

    async def start(self, spec: Spec, owner: str = "alice") -> JobId:
        """Start a job; returns once it runs."""
        return (await self.manager.submit(spec, owner)).id

    async def jobs(self) -> tuple[Job, ...]:
        """All jobs that there are, newest first."""
        return (await self.manager.list()).jobs


@asynccontextmanager
async def open_managed() -> AsyncIterator[Managed]:
    """A manager that is in charge until this is left."""
    managed = Managed()
    await managed.manager.recover()
    yield managed
    await managed.manager.close()


@pytest.fixture
async def managed() -> AsyncIterator[Managed]:
    async with open_managed() as opened:
        yield opened


@pytest.fixture
def follower_closed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once somebody who followed output has let go of it, on any thread's loop."""
    closed = threading.Event()
    close = Follower.close

    def closing(follower: Follower) -> None:
        close(follower)
        closed.set()

    monkeypatch.setattr(Follower, "close", closing)
    return closed


@dataclass
class Watched:
    """The calls of an asynchronous method: ``begun`` at the first, ``over`` at its end.

    A call does not go on before ``may_go_on``, which is set unless a test clears it.
    """

    begun: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_go_on.set()


def watch(monkeypatch: pytest.MonkeyPatch, target: object, method: str) -> Watched:
    """See the calls of a method of ``target``, which do what they did, from now on."""
    real = getattr(target, method)
    watched = Watched()

    async def call(*args: Any, **kwargs: Any) -> Any:
        watched.begun.set()
        try:
            await watched.may_go_on.wait()
            return await real(*args, **kwargs)
        finally:
            watched.over.set()

    monkeypatch.setattr(target, method, call)
    return watched
