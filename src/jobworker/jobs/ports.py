"""What the manager needs from the outside, as protocols.

The real ones are in ``engines`` and ``archive``; the fakes in ``testing`` are held to the
same contract tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

from jobworker.jobs.lifecycle import Event
from jobworker.model import (
    Grant,
    Job,
    JobId,
    JobQuery,
    KeyBinding,
    Level,
    Page,
    Role,
    SignalRequest,
    Spec,
    StartKey,
    StopRequest,
    Terms,
)
from jobworker.output.reader import OutputReader

Listener = Callable[[JobId, Event], None]
"""Told of everything that happens to a job; called on the event loop, must not block."""


class Clock(Protocol):
    """Where the time of day comes from."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...


class InputWriter(Protocol):
    """Feeds a job that runs."""

    @property
    def taken(self) -> int:
        """How many bytes have gone where the program reads."""
        ...

    async def write(self, data: bytes) -> None:
        """Return once all of it is on its way; raises ``InputClosed`` where nobody reads it."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Change the size of the job's terminal; raises ``InputClosed``."""
        ...

    def close(self) -> None:
        """Let go, also a second time; the input stays open."""
        ...


class InputChannel(Protocol):
    """The standard input of an engine's jobs."""

    async def keep(self, job_id: JobId, data: bytes) -> None:
        """Keep what a job that is to be started will read; durable once this returns.

        Raises ``StorageFull``. It goes with ``Engine.discard``.
        """
        ...

    async def drop(self, job_id: JobId) -> None:
        """Remove what was kept: there is to be no such job."""
        ...

    async def sweep(self, known: Collection[JobId]) -> None:
        """Remove what was kept for jobs that are not known: nobody was told of them."""
        ...

    def open(self, job: Job) -> InputWriter:
        """Feed a job that runs; raises ``InputClosed`` where nobody reads, or will."""
        ...

    async def end(self, job_id: JobId) -> None:
        """Let the job's program come to the end of its input."""
        ...


class OutputSource(Protocol):
    """The output of an engine's live jobs."""

    def reader(self, job_id: JobId) -> OutputReader:
        """The output of a job; raises ``FileNotFoundError`` after ``Engine.discard``."""
        ...

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """Done at the first change of the job's output after this call.

        Look at the output after the call, then wait; cancel what is not waited for. It
        may be done without a change, and is once the job is discarded. Raises
        ``FileNotFoundError`` after ``Engine.discard``.
        """
        ...


class Engine(Protocol):
    """Where supervisors start, and what became of them.

    It is ready to start jobs once it is made; events go to the listener that it was given
    last, and are dropped before there is one.
    """

    @property
    def containment(self) -> Level:
        """The level that jobs get."""
        ...

    @property
    def node(self) -> str:
        """Name of the machine that jobs run on."""
        ...

    @property
    def output(self) -> OutputSource:
        """The output of its live jobs."""
        ...

    @property
    def input(self) -> InputChannel:
        """The standard input of its jobs."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of everything that happens to jobs from now on."""
        ...

    def check(self, spec: Spec, terms: Terms) -> None:
        """Refuse what is not available here, before anything is made of it.

        Raises ``LimitUnavailable`` or ``IsolationUnavailable``.
        """
        ...

    def visibility_warning(self, spec: Spec, terms: Terms, account: int) -> str | None:
        """The first path in ``spec`` that the job will not see, in words; or None."""
        ...

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Start ``job`` as the account of that number; returns once it has been handed over.

        ``grant`` is what the policy made of its spec: it may have to run as another account,
        or only if its program is the file that was checked. Raises what ``check`` does, and
        ``ServiceUnavailable``, also where its input was not kept; then there is no job.

        What comes of it reaches the listener as ``Started``, ``Refused`` (its ``error``
        says why) or ``Ended``.
        """
        ...

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Pass a stop to the job's supervisor; its end reaches the listener.

        Nothing comes of it where the job has ended, or is not known.
        """
        ...

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Send a signal to the job's program alone.

        Raises ``JobNotRunning`` where that has ended, or is not known.
        """
        ...

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Tell the job's supervisor how many seconds from its start it may run.

        Nothing comes of it where the job has ended, or is not known.
        """
        ...

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Find again what a server before this one started.

        For each of ``jobs`` the listener is told where it stands before this returns:
        ``Started``, then what came after it (``Extended``, ``StopAsked``, ``Ended``), or
        ``Lost``. Supervisors that still live are followed from now on. Jobs that are not among
        them are stopped and removed, and nothing is told of them.
        """
        ...

    async def discard(self, job_id: JobId) -> None:
        """Remove what the engine keeps of an ended job, once its supervisor is gone.

        Fine where there is nothing; kept input that no start has taken goes with it.
        """
        ...


class Owners(Protocol):
    """What is known of those who start jobs."""

    async def role(self, owner: str) -> Role:
        """The role of the user of that name; that of a plain user where there is none."""
        ...

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever (0, 1, 2, …).

        The same owner gets the same number, and no two owners share one: at level
        ``full`` it decides the UID that the owner's jobs run as.
        """
        ...


class Archive(Protocol):
    """Every job's record for good, and the output of finished jobs."""

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        """Record a new job, and with it what its key stands for; durable when this returns.

        Raises ``StorageFull``, and ``ServiceUnavailable`` where the owner's key stands for
        something already.
        """
        ...

    def binding(self, owner: str, key: str) -> KeyBinding | None:
        """What the owner's idempotency key stands for, or None where it is free."""
        ...

    async def release(self, owner: str, key: str) -> None:
        """Let the owner's key stand for nothing again."""
        ...

    async def admit(self, job_id: JobId) -> None:
        """Record that a queued job is to be started; durable when this returns."""
        ...

    async def roll_back(self, job_id: JobId) -> None:
        """Forget a job that never ran, and let its key stand for nothing again."""
        ...

    async def finish(self, job: Job, output: OutputReader) -> None:
        """Record a job's end together with its output; durable when this returns.

        Doing it again, after a crash half-way, leaves the same as doing it once.
        """
        ...

    async def remove(self, job_id: JobId) -> None:
        """Delete a finished job and its output; its key stays bound to what is gone."""
        ...

    def get(self, job_id: JobId) -> Job | None:
        """The record of a job: as it ended, or as it was accepted while it has not."""
        ...

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a job that ``finish`` was called for."""
        ...

    async def find(self, query: JobQuery) -> Page:
        """The jobs that match, newest first. Raises ``InvalidRequest`` for a bad cursor."""
        ...

    async def unfinished(self) -> list[Job]:
        """Every job that was added and neither finished nor rolled back, oldest first."""
        ...
