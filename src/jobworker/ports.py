"""What the manager needs from the outside, as protocols.

The real ones are ``engines.local`` and ``archive``; the fakes in ``testing.py`` are
held to the same contract tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

from jobworker.lifecycle import Event
from jobworker.model import (
    Grant,
    Job,
    JobId,
    JobQuery,
    KeyBinding,
    Level,
    Page,
    Piece,
    Role,
    SignalRequest,
    Spec,
    StartKey,
    StopRequest,
    Stream,
)

Listener = Callable[[JobId, Event], None]
"""Told of everything that happens to a job; called on the event loop, must not block."""


Span = tuple[int, int]
"""Places ``[start, end)`` in a stream."""


class Clock(Protocol):
    """Where the time of day comes from."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...


class OutputReader(Protocol):
    """Reads what a job has written, wherever it is kept now.

    Each byte has a place: how many the job wrote to that stream before it, kept or not.
    The places of bytes that are not kept are gaps. A reader may be for what there was when
    it was made: another one sees what has come since.
    """

    def size(self, stream: Stream) -> int:
        """The place after the last byte that is kept."""
        ...

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The places that are kept, in order; between two spans there is a gap."""
        ...

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it, none at the end; may block on disk.

        They are ``length`` bytes, or fewer where a gap or the end comes first.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds open."""
        ...


class InputWriter(Protocol):
    """Feeds a job that runs; ``taken`` is how many bytes have gone where it reads."""

    taken: int

    async def write(self, data: bytes) -> None:
        """Return once all of it is on its way; raises ``InputClosed`` where nobody reads it."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Change the size of the job's terminal; raises ``InputClosed``."""
        ...

    def close(self) -> None:
        """Let go; the input stays open."""
        ...


class Engine(Protocol):
    """Where supervisors start, and what became of them."""

    @property
    def containment(self) -> Level:
        """The level that jobs get."""
        ...

    @property
    def node(self) -> str:
        """Name of the machine that jobs run on."""
        ...

    async def open(self, listener: Listener) -> None:
        """Make ready to start jobs; from now on events go to ``listener``."""
        ...

    def check(self, spec: Spec) -> None:
        """Refuse a spec with what cannot be had or kept here, before anything is made of it.

        Raises ``LimitUnavailable`` or ``IsolationUnavailable``.
        """
        ...

    def blind_spot(self, spec: Spec, account: int) -> str | None:
        """The first path in ``spec`` that the job will not see, in words; or None."""
        ...

    async def keep_input(self, job_id: JobId, data: bytes) -> None:
        """Keep what a job that is to be started will read; durable once this returns.

        Raises ``StorageFull``. It goes with ``discard``.
        """
        ...

    async def drop_input(self, job_id: JobId) -> None:
        """Remove what was kept: there is to be no such job."""
        ...

    async def sweep_inputs(self, known: Collection[JobId]) -> None:
        """Remove what was kept for jobs that nobody was told of."""
        ...

    def open_input(self, job: Job) -> InputWriter:
        """Feed a job that runs; raises ``InputClosed`` where nobody reads, or will."""
        ...

    async def end_input(self, job_id: JobId) -> None:
        """Let the job's program come to the end of its input."""
        ...

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Start ``job`` as the account of that number; returns once it has been handed over.

        ``grant`` is what the policy made of its spec: it may have to run as another account,
        or only if its program is the file that was checked.

        What comes of it reaches the listener as ``Started``, ``Refused`` (its ``error``
        says why) or ``Ended``.
        """
        ...

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Pass a stop to the job's supervisor; its end reaches the listener."""
        ...

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Send a signal to the job's program alone; raises ``JobNotRunning``."""
        ...

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Tell the job's supervisor how many seconds from its start it may run."""
        ...

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Find again what a server before this one started.

        For each of ``jobs`` the listener is told where it stands (``Started``, ``Ended``
        or ``Lost``); supervisors that still live are followed from now on.
        """
        ...

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a job; raises ``FileNotFoundError`` after ``discard``."""
        ...

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """Done at the first change of the job's output after this call.

        Look at the output after the call, then wait; cancel what is not waited for. It
        may be done without a change. Raises ``FileNotFoundError`` after ``discard``.
        """
        ...

    async def discard(self, job_id: JobId) -> None:
        """Remove what the engine keeps of an ended job, once its supervisor is gone."""
        ...

    async def close(self) -> None:
        """Let go of everything; jobs go on."""
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

    async def withdraw(self, job_id: JobId) -> None:
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
        """Every job that was added and neither finished nor withdrawn, oldest first."""
        ...

    async def role(self, owner: str) -> Role:
        """The role of the user of that name; that of a plain user where there is none."""
        ...

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever (0, 1, 2, …).

        The same owner gets the same number, and no two owners share one: at level
        ``full`` it decides the UID that the owner's jobs run as.
        """
        ...

    async def close(self) -> None:
        """Write out what is under way and close the database."""
        ...
