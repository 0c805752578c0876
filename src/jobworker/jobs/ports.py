"""The manager's needs from the outside, as protocols.

The real implementations are in ``engines`` and ``archive``; the fakes in ``testing`` are
held to the same contract tests.
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
"""A function that is told of all events of a job, on the event loop; it must not block."""


class Clock(Protocol):
    """The source of the time of day."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...


class InputWriter(Protocol):
    """Feeds a job that runs."""

    @property
    def taken(self) -> int:
        """The number of bytes that have gone where the program reads."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once all of it is on its way; raises ``InputClosed`` where nobody reads it."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Changes the size of the job's terminal; raises ``InputClosed``."""
        ...

    def close(self) -> None:
        """Releases the input, which stays open; a second call changes nothing."""
        ...


class InputChannel(Protocol):
    """The standard input of an engine's jobs."""

    async def keep(self, job_id: JobId, data: bytes) -> None:
        """Keeps the input of a job that is to be started; durable once this returns.

        Raises ``StorageFull``. ``Engine.discard`` removes it.
        """
        ...

    async def drop(self, job_id: JobId) -> None:
        """Removes the input that was kept for a job, which is not to be."""
        ...

    async def sweep(self, known: Collection[JobId]) -> None:
        """Removes the input of jobs that are not known: nobody was told of them."""
        ...

    def open(self, job: Job) -> InputWriter:
        """A writer that feeds a running job; raises ``InputClosed`` where nobody reads, or will."""
        ...

    async def end(self, job_id: JobId) -> None:
        """Lets the job's program come to the end of its input."""
        ...


class OutputSource(Protocol):
    """The output of an engine's live jobs."""

    def reader(self, job_id: JobId) -> OutputReader:
        """The output of a job; raises ``FileNotFoundError`` after ``Engine.discard``."""
        ...

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """A future that is done at the first change of the job's output after this call.

        The caller has to look at the output after the call, then wait, or cancel it. It may
        be done without a change, and is once the job is discarded. Raises
        ``FileNotFoundError`` after ``Engine.discard``.
        """
        ...


class Engine(Protocol):
    """The part that starts supervisors, and tells what became of them.

    It is ready to start jobs once it is made; events go to the listener that it was given
    last, and are dropped before there is one.
    """

    @property
    def containment(self) -> Level:
        """The level that jobs get."""
        ...

    @property
    def node(self) -> str:
        """The name of the machine that jobs run on."""
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
        """Tells ``listener`` of everything that happens to jobs from now on."""
        ...

    def check(self, spec: Spec, terms: Terms) -> None:
        """Refuses a spec that asks for what is not available here, before anything is recorded.

        Raises ``LimitUnavailable`` or ``IsolationUnavailable``.
        """
        ...

    async def trouble(self) -> str | None:
        """The cause why no job can be started just now; None where there is none."""
        ...

    async def visibility_warning(self, spec: Spec, terms: Terms, account: int) -> str | None:
        """A sentence on the first path in ``spec`` that the job will not see; or None."""
        ...

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Starts ``job`` as the account of that number; returns once it has been handed over.

        ``grant`` is the policy's answer to its spec: it may have to run as another account,
        or only if its program is the file that was checked. Raises what ``check`` does, and
        ``ServiceUnavailable``, also where its input was not kept; then there is no job.

        The result reaches the listener as ``Started``, ``Refused`` (its ``error`` says why),
        ``Ended`` or ``Lost``, within a time that the engine has set itself.
        """
        ...

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Passes a stop to the job's supervisor; the job's end reaches the listener.

        Nothing comes of it where the job has ended, or is not known.
        """
        ...

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Sends a signal to the job's program alone.

        Raises ``JobNotRunning`` where that has ended, or is not known.
        """
        ...

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Tells the job's supervisor how many seconds from its start it may run.

        Nothing comes of it where the job has ended, or is not known.
        """
        ...

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Finds the jobs again that a server before this one started.

        For each of ``jobs`` the listener is told where it stands before this returns:
        ``Started``, then what came after it (``Extended``, ``StopAsked``, ``Ended``), or
        ``Lost``. Supervisors that still live are followed from now on. Jobs that are not among
        them are stopped and removed, and nothing is told of them.
        """
        ...

    async def withdraw(self, job_id: JobId) -> None:
        """Removes what a refused start has made, and keeps its input for another start.

        Does nothing where there is nothing.
        """
        ...

    async def shed(self, job_id: JobId) -> None:
        """Deletes the output of an ended job that is to be removed, to make room at once.

        Also for whoever reads it just now. Does nothing where there is nothing.
        """
        ...

    async def discard(self, job_id: JobId) -> None:
        """Removes all that the engine keeps of an ended job, once its supervisor is gone.

        Does nothing where there is nothing; kept input that no start has taken goes with it.
        """
        ...


class Owners(Protocol):
    """The facts about the users who start jobs."""

    async def role(self, owner: str) -> Role:
        """The role of the user of that name; that of a plain user where there is none."""
        ...

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever (0, 1, 2, …).

        An owner always gets the same number, and no two owners share one: at level
        ``full`` it decides the UID that the owner's jobs run as.
        """
        ...


class Archive(Protocol):
    """Every job's record for good, and the output of finished jobs."""

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        """Records a new job, bound to its key if there is one; durable when this returns.

        Raises ``StorageFull``, and ``ServiceUnavailable`` where the owner's key stands for
        something already.
        """
        ...

    def binding(self, owner: str, key: str) -> KeyBinding | None:
        """The request and job of the owner's idempotency key, or None where it is free."""
        ...

    async def release(self, owner: str, key: str) -> None:
        """Frees the owner's key."""
        ...

    async def admit(self, job_id: JobId) -> None:
        """Records that a queued job is to be started; durable when this returns."""
        ...

    async def put_back(self, job_id: JobId) -> None:
        """Records that a job which was admitted is queued again; durable when this returns.

        Does nothing where it has ended, or was never admitted.
        """
        ...

    async def roll_back(self, job_id: JobId) -> None:
        """Removes a job that never ran, and frees its key."""
        ...

    async def finish(self, job: Job, output: OutputReader) -> None:
        """Records a job's end together with its output; durable when this returns.

        A second call, after a crash half-way, leaves the same as a single one.
        """
        ...

    async def remove(self, job_id: JobId) -> None:
        """Deletes a finished job and its output; its key stays bound to the deleted job.

        Raises ``JobNotFound``, and ``JobRunning`` where it was not finished.
        """
        ...

    async def drop(self, job_id: JobId) -> None:
        """Deletes a job that has ended, whether ``finish`` was called for it or not.

        Its key stays bound. Does nothing where there is no such job.
        """
        ...

    async def stored(self, owner: str) -> int:
        """Bytes of output of an owner's finished jobs."""
        ...

    def get(self, job_id: JobId) -> Job | None:
        """The record of a job: as it ended, or as it was accepted while it has not."""
        ...

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a job that ``finish`` was called for."""
        ...

    async def find(self, query: JobQuery) -> Page:
        """The jobs that match, newest first, each ``brief``; a page ends after some 4 MiB.

        Raises ``InvalidRequest`` for a bad cursor.
        """
        ...

    async def unfinished(self) -> list[Job]:
        """Every job that was added and neither finished nor rolled back, oldest first.

        Each is ``brief``.
        """
        ...
