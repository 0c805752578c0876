"""Start, stop, status, output, list, wait: the owner of the table of live jobs.

Everything that happens to a job comes to ``_apply`` as an event, on the event loop and
nowhere else; ``lifecycle.step`` decides, and what it decides is carried out here.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.config import Containment
from jobworker.engines.local import LocalEngine
from jobworker.errors import (
    JobNotFound,
    JobNotRunning,
    JobRunning,
    JobWorkerError,
    StateInUse,
)
from jobworker.lifecycle import (
    DeliverStop,
    Effect,
    Ended,
    Event,
    Refused,
    Settle,
    StopAsked,
    Withdraw,
    step,
)
from jobworker.model import (
    Cause,
    Job,
    JobId,
    JobQuery,
    Output,
    Page,
    Spec,
    Starting,
    Stopped,
    StopRequest,
    Stream,
)
from jobworker.ports import Archive, Clock, Engine, OutputReader

log = logging.getLogger(__name__)

DATABASE = "jobd.db"

_CHUNK = 256 * 1024
"""Bytes that a follower gets at once, and that it may hold in memory."""

_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0
"""Seconds between attempts to move a job to an archive whose disk is full."""


class SystemClock:
    """The machine's clock (``ports.Clock``)."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class _Seat:
    """A live job, who waits for it, and what it could not see from the start."""

    job: Job
    blind_spot: str | None = None
    refusal: JobWorkerError | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    archived: asyncio.Event = field(default_factory=asyncio.Event)


class Manager:
    """Jobs of all owners on one engine and one archive.

    Made by ``Manager.open``. All methods belong to the event loop that opened it, and
    may be called from any number of its tasks at once.
    """

    def __init__(self, engine: Engine, archive: Archive, clock: Clock) -> None:
        self._engine = engine
        self._archive = archive
        self._clock = clock
        self._live: dict[JobId, _Seat] = {}
        self._owned: dict[str, set[JobId]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        state_dir: str | os.PathLike[str],
        *,
        containment: Containment = "auto",
        archive: Archive | None = None,
        engine: Engine | None = None,
        clock: Clock | None = None,
        hidden: Sequence[Path] = (),
    ) -> AsyncIterator[Manager]:
        """Take charge of a state directory, and find again the jobs that are in it.

        ``hidden`` names more directories that jobs must not see. On leaving, jobs go on.
        Raises ``StateInUse`` where another manager is in charge, ``StateUnusable`` where
        the database cannot be used, ``ContainmentUnavailable``.
        """
        state = Path(state_dir)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at start
        async with AsyncExitStack() as stack:
            stack.callback(os.close, _take_charge(state))
            if archive is None:
                database = Database.open(state / DATABASE)
                archive = SqlArchive(database)
                stack.push_async_callback(archive.close)
            manager = cls(
                engine or LocalEngine(state, containment, hidden), archive, clock or SystemClock()
            )
            await manager._engine.open(manager._apply)
            stack.push_async_callback(manager._close)
            await manager._recover()
            yield manager

    async def start(
        self,
        program: str,
        args: Sequence[str] = (),
        *,
        owner: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> JobId:
        """Run ``program`` (an absolute path) for ``owner``; returns once its exec succeeded.

        Raises ``ProgramNotFound``, ``ProgramNotExecutable``, ``InvalidRequest``,
        ``StartFailed`` or ``StorageFull``, and then there is no job.
        """
        spec = Spec(program, tuple(args), dict(env or {}), cwd, name, dict(labels or {}))
        return (await self.submit(spec, owner)).id

    async def submit(self, spec: Spec, owner: str) -> Job:
        """``start`` for a spec that is at hand; returns the job.

        A caller that is cancelled meanwhile leaves the start to take its course.
        """
        return await asyncio.shield(asyncio.ensure_future(self._start(spec, owner)))

    async def _start(self, spec: Spec, owner: str) -> Job:
        account = await self._archive.account(owner)
        job = Job(
            id=JobId.new(),
            owner=owner,
            spec=spec,
            status=Starting(),
            created_at=self._clock.now(),
            containment=self._engine.containment,
            node=self._engine.node,
        )
        await self._archive.add(job)
        seat = self._seat(job, self._engine.blind_spot(spec, account))
        try:
            await self._engine.start(job, account)
        except JobWorkerError as error:
            self._apply(job.id, Refused(error))
        await seat.begun.wait()
        if seat.refusal:
            await seat.archived.wait()
            raise seat.refusal
        return seat.job

    async def stop(self, job_id: str, *, by: str | None = None, grace: float = 0.0) -> None:
        """Stop a job; returns once none of its processes is left.

        With a ``grace``, SIGTERM comes first and SIGKILL that many seconds later. ``by``
        is who asks, the owner where it is left out. Raises ``JobNotFound``, and
        ``JobNotRunning`` where the job has ended, also by itself at the same moment.
        """
        job = self.status(job_id)
        seat = self._live.get(job.id)
        if seat is None:
            raise JobNotRunning
        request = StopRequest(by or job.owner, self._clock.now(), grace)
        self._apply(job.id, StopAsked(request))
        await seat.ended.wait()
        if not isinstance(_job_of(seat).status, Stopped):
            raise JobNotRunning

    def status(self, job_id: str) -> Job:
        """The job as it stands; raises ``JobNotFound``."""
        try:
            parsed = JobId.parse(job_id)
        except ValueError:
            raise JobNotFound from None
        if seat := self._live.get(parsed):
            return _job_of(seat)
        job = self._archive.get(parsed)
        if job is None:
            raise JobNotFound
        return job

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended, or as it stands after ``timeout`` seconds."""
        job = self.status(job_id)
        seat = self._live.get(job.id)
        if seat is None:
            return job
        try:
            async with asyncio.timeout(timeout):
                await seat.ended.wait()
        except TimeoutError:
            pass
        return _job_of(seat)

    async def output(self, job_id: str) -> Output:
        """Everything that the job has written so far; raises ``JobNotFound``."""
        with closing(self.reader(job_id)) as reader:
            return await asyncio.to_thread(_read_all, reader)

    def reader(self, job_id: str) -> OutputReader:
        """Access to the output by ranges; to be closed. Raises ``JobNotFound``."""
        job = self.status(job_id)
        if seat := self._live.get(job.id):
            return self._output_of(seat)
        return self._archive.output(job.id)

    async def follow(self, job_id: str, stream: Stream, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a stream from ``offset``, as they come, until the job has ended."""
        while True:
            job = self.status(job_id)
            with closing(self.reader(job.id)) as reader:
                data = reader.read(stream, offset, _CHUNK)
            if data:
                offset += len(data)
                yield data
            elif job.ended:
                return
            else:
                await self._more_or_end(job.id, stream, offset)

    async def _more_or_end(self, job_id: JobId, stream: Stream, offset: int) -> None:
        seat = self._live[job_id]
        waits = [
            asyncio.ensure_future(self._engine.changed(job_id, stream, offset)),
            asyncio.ensure_future(seat.ended.wait()),
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        _job_of(seat)
        for wait in done:
            wait.result()

    async def list(self, query: JobQuery | None = None) -> Page:
        """One page of jobs, newest first; raises ``InvalidRequest`` for a bad cursor."""
        query = query or JobQuery()
        if query.status:
            await self._settle_ended()
        page = await self._archive.find(query)
        seats = [(self._live.get(job.id), job) for job in page.jobs]
        jobs = (seat.job if seat else job for seat, job in seats if not (seat and seat.refusal))
        return replace(page, jobs=tuple(jobs))

    async def _settle_ended(self) -> None:
        """The archive knows a job's final status once it has moved there: give it the time."""
        moving = [seat.archived.wait() for seat in self._live.values() if seat.job.ended]
        if moving:
            try:
                async with asyncio.timeout(_FIRST_RETRY):
                    await asyncio.gather(*moving)
            except TimeoutError:
                log.warning("the archive is behind: a list by status may miss ended jobs")

    def advice(self, job: Job) -> str | None:
        """What the job was asked to use but cannot see, in words; or None."""
        seat = self._live.get(job.id)
        return seat.blind_spot if seat else None

    def owned(self, owner: str) -> frozenset[JobId]:
        """The live jobs of an owner."""
        return frozenset(self._owned.get(owner, ()))

    async def remove(self, job_id: str) -> None:
        """Forget an ended job and its output; raises ``JobNotFound`` or ``JobRunning``."""
        job = self.status(job_id)
        if not job.ended:
            raise JobRunning
        if seat := self._live.get(job.id):
            await seat.archived.wait()
        await self._archive.remove(job.id)

    def _seat(self, job: Job, blind_spot: str | None = None) -> _Seat:
        seat = self._live[job.id] = _Seat(job, blind_spot)
        self._owned.setdefault(job.owner, set()).add(job.id)
        return seat

    def _unseat(self, seat: _Seat) -> None:
        del self._live[seat.job.id]
        owned = self._owned[seat.job.owner]
        owned.discard(seat.job.id)
        if not owned:
            del self._owned[seat.job.owner]
        seat.archived.set()

    def _apply(self, job_id: JobId, event: Event) -> None:
        """Let something happen to a job; the one place where a live job changes."""
        seat = self._live.get(job_id)
        if seat is None:
            return
        if isinstance(event, Ended):
            event = _with_hint(event, seat.blind_spot)
        seat.job, effects = step(seat.job, event)
        for effect in effects:
            self._carry_out(seat, effect)
        if not isinstance(event, StopAsked):  # a stop leaves open what comes of the start
            seat.begun.set()

    def _carry_out(self, seat: _Seat, effect: Effect) -> None:
        match effect:
            case DeliverStop(stop):
                self._in_background(self._engine.stop(seat.job.id, stop))
            case Settle():
                seat.ended.set()
                self._in_background(self._move_to_archive(seat))
            case Withdraw(error):
                seat.refusal = error
                seat.ended.set()
                self._in_background(self._withdraw(seat))

    async def _move_to_archive(self, seat: _Seat) -> None:
        """The job's directory goes only after its record and output are in the archive."""
        delay = _FIRST_RETRY
        while not await self._archived(seat):
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY)
        self._unseat(seat)
        await self._engine.discard(seat.job.id)

    async def _archived(self, seat: _Seat) -> bool:
        try:
            with closing(self._output_of(seat)) as output:
                await self._archive.finish(seat.job, output)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot archive job %s, will try again: %s", seat.job.id, error)
            return False
        return True

    def _output_of(self, seat: _Seat) -> OutputReader:
        if seat.job.end and seat.job.end.is_silent:
            return _NoOutput()
        try:
            return self._engine.output(seat.job.id)
        except FileNotFoundError:  # lost before it had a directory
            return _NoOutput()

    async def _withdraw(self, seat: _Seat) -> None:
        """Forget a job that never ran. Who asked for it is answered also where that fails."""
        delay = _FIRST_RETRY
        while not await self._forgotten(seat):
            seat.archived.set()
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY)
        self._unseat(seat)

    async def _forgotten(self, seat: _Seat) -> bool:
        try:
            await self._archive.withdraw(seat.job.id)
            await self._engine.discard(seat.job.id)
        except (JobWorkerError, OSError) as error:
            log.warning("cannot forget job %s, will try again: %s", seat.job.id, error)
            return False
        return True

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a job could not be followed up", exc_info=error)

    async def _recover(self) -> None:
        jobs = await self._archive.unfinished()
        for job in jobs:
            self._seat(job)
        await self._engine.recover(jobs)

    async def _close(self) -> None:
        """Finish what is being archived; what is not is found again at the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FIRST_RETRY)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.close()


def _job_of(seat: _Seat) -> Job:
    """The job as it stands; raises ``JobNotFound`` where its start was refused meanwhile."""
    if seat.refusal:
        raise JobNotFound
    return seat.job


class _NoOutput:
    """The output of a job that never had any (``ports.OutputReader``)."""

    def size(self, stream: Stream) -> int:  # noqa: ARG002 - the port's signature
        return 0

    def read(self, stream: Stream, offset: int, length: int) -> bytes:  # noqa: ARG002 - same
        return b""

    def close(self) -> None:
        return


def _with_hint(event: Ended, blind_spot: str | None) -> Ended:
    """A program that failed, and was asked to use what it could not see, is told so."""
    end = event.end
    if blind_spot is None or end.cause is not Cause.EXITED or end.exit_code == 0:
        return event
    return Ended(replace(end, detail=blind_spot))


def _read_all(reader: OutputReader) -> Output:
    def whole(stream: Stream) -> bytes:
        return b"".join(_chunks(reader, stream))

    return Output(whole(Stream.STDOUT), whole(Stream.STDERR))


def _chunks(reader: OutputReader, stream: Stream) -> Iterable[bytes]:
    offset = 0
    while data := reader.read(stream, offset, _CHUNK):
        offset += len(data)
        yield data


def _take_charge(state: Path) -> int:
    """Hold the lock of the state directory until the descriptor is closed."""
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateInUse(f"another server is in charge of {state}") from None
    return fd
