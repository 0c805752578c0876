"""Start, stop, status, output, list, wait: the owner of the table of live jobs.

Everything that happens to a job comes to ``_apply`` as an event, on the event loop and
nowhere else; ``lifecycle.step`` decides, and what it decides is carried out here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.config import Containment
from jobworker.engines.local import LocalEngine
from jobworker.errors import (
    InvalidRequest,
    JobNotRunning,
    JobRunning,
    ProgramForbidden,
    StateInUse,
    UnauthorizedAction,
)
from jobworker.granting import as_asked, as_granted, is_private
from jobworker.idempotency import KeyedStarts, key_for_rerun, key_for_start
from jobworker.inputs import Attachment, Feeding
from jobworker.lifecycle import (
    Extended,
    SignalAsked,
    StopAsked,
    step,
)
from jobworker.model import (
    NO_LIMITS,
    Input,
    Job,
    JobId,
    Limits,
    Queued,
    Role,
    Running,
    SignalRequest,
    Spec,
    Starting,
    StartKey,
    Stopped,
    StopRequest,
)
from jobworker.policy.authority import Authority
from jobworker.ports import Archive, Clock, Engine
from jobworker.progress import Progress
from jobworker.seats import Seat
from jobworker.signal_names import name_of, number_of

DATABASE = "jobd.db"


class SystemClock:
    """The machine's clock (``ports.Clock``)."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)


class Manager(Progress):
    """Jobs of all owners on one engine and one archive.

    Made by ``Manager.open``. All methods belong to the event loop that opened it, and
    may be called from any number of its tasks at once.
    """

    def __init__(
        self, engine: Engine, archive: Archive, clock: Clock, authority: Authority
    ) -> None:
        super().__init__(engine, archive, clock, authority)
        self._keyed = KeyedStarts(archive, self._seats)
        self._feeding = Feeding(engine, self._seats)

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
        authority: Authority | None = None,
    ) -> AsyncIterator[Manager]:
        """Take charge of a state directory, and find again the jobs that are in it.

        ``hidden`` names more directories that jobs must not see; ``authority`` decides who
        may run what, with what limits, and how many jobs may run and wait. On leaving,
        jobs go on.
        Raises ``StateInUse`` where another manager is in charge, ``StateUnusable`` where
        the database cannot be used, ``ContainmentUnavailable``,
        ``LimitUnavailable`` where what bounds all jobs together cannot be kept here.
        """
        authority = authority or Authority()
        state = Path(state_dir)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at start
        async with AsyncExitStack() as stack:
            stack.callback(os.close, _take_charge(state))
            if archive is None:
                database = Database.open(state / DATABASE)
                archive = SqlArchive(database)
                stack.push_async_callback(archive.close)
            engine = engine or LocalEngine(state, containment, hidden, authority.ceiling)
            manager = cls(engine, archive, clock or SystemClock(), authority)
            await manager._engine.open(manager._apply)
            stack.push_async_callback(manager._close)
            await manager._recover()
            yield manager

    async def start(  # noqa: PLR0913 - as many as a start has options
        self,
        program: str,
        args: Sequence[str] = (),
        *,
        owner: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        limits: Limits = NO_LIMITS,
        idempotency_key: str | None = None,
        stdin: bytes | None = None,
    ) -> JobId:
        """Run ``program`` (an absolute path) for ``owner``; returns once its exec succeeded.

        ``stdin`` is all of its standard input; without, it reads nothing. Where it has to wait
        for others to end, this returns at once. Raises
        ``ProgramNotFound``, ``ProgramNotExecutable``, ``ProgramForbidden``, ``LimitTooHigh``,
        ``LimitUnavailable``, ``IsolationUnavailable``, ``TooManyJobs``, ``InvalidRequest``,
        ``ServiceUnavailable``, ``StartFailed`` or ``StorageFull``, and then there is no job.
        """
        named = dict(labels or {})
        spec = Spec(program, tuple(args), dict(env or {}), cwd, name, named, limits)
        if stdin is not None:
            spec = replace(spec, input=Input.of(stdin))
        job = await self.submit(spec, owner, stdin=stdin, idempotency_key=idempotency_key)
        return job.id

    async def submit(
        self,
        spec: Spec,
        owner: str,
        role: Role = Role.USER,
        *,
        stdin: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """``start`` for a spec that is at hand, for an owner of that role; returns the job.

        ``stdin`` goes with a spec whose ``input`` is given. Of all calls of an owner with the
        same ``idempotency_key``, one starts a job and the others return it. Raises
        ``IdempotencyKeyReused`` where it came with another spec before, ``JobNotFound`` where
        its job has been removed. A caller that is cancelled meanwhile leaves the start to take
        its course.
        """
        key = None if idempotency_key is None else key_for_start(idempotency_key, spec)
        return await self._begin(spec, owner, role, key, stdin)

    async def _begin(
        self,
        spec: Spec,
        owner: str,
        role: Role,
        key: StartKey | None,
        stdin: bytes | None = None,
    ) -> Job:
        def start() -> Coroutine[None, None, Job]:
            return self._start(spec, owner, role, key, stdin)

        if key is not None:
            return await self._keyed.once(owner, key, start)
        return await asyncio.shield(asyncio.ensure_future(start()))

    async def _start(
        self, spec: Spec, owner: str, role: Role, key: StartKey | None, stdin: bytes | None
    ) -> Job:
        grant = await self._ask(self._authority.grant, owner, role, spec)
        spec = as_granted(spec, grant)
        self._engine.check(spec)
        account = await self._archive.account(owner)
        blind_spot = self._engine.blind_spot(spec, account)
        seat = await self._take_seat(spec, owner, blind_spot, key, stdin)
        if seat.placed:
            await self._hand_over(seat, account, grant)
            await seat.begun.wait()
            if seat.refusal:
                await seat.archived.wait()
                raise seat.refusal
        else:
            self._admission.line_up(seat.job.id, owner)
            self._admit_waiting()  # a place may have become free meanwhile
        return seat.job

    async def _take_seat(
        self,
        spec: Spec,
        owner: str,
        blind_spot: str | None,
        key: StartKey | None,
        stdin: bytes | None,
    ) -> Seat:
        """Record a new job, with a place among the running or the waiting ones."""
        placed = self._admission.enter(owner)
        job = Job(
            id=JobId.new(),
            owner=owner,
            spec=spec,
            status=Starting() if placed else Queued(),
            created_at=self._clock.now(),
            containment=self._engine.containment,
            node=self._engine.node,
        )
        try:
            await self._record(job, key, stdin)
        except BaseException:
            self._give_back(owner, placed=placed)
            raise
        seat = Seat(job, blind_spot, placed)
        self._seats.add(seat)
        return seat

    async def _record(self, job: Job, key: StartKey | None, stdin: bytes | None) -> None:
        """Record a job and what it is to read: there is no job without its input."""
        if stdin is None:
            await self._archive.add(job, key)
            return
        await self._engine.keep_input(job.id, stdin)
        try:
            await self._archive.add(job, key)
        except BaseException:
            await self._engine.drop_input(job.id)
            raise

    async def stop(self, job_id: str, *, by: str | None = None, grace: float = 0.0) -> None:
        """Stop a job; returns once none of its processes is left.

        With a ``grace``, SIGTERM comes first and SIGKILL that many seconds later. ``by``
        is who asks, the owner where it is left out. Raises ``JobNotFound``, and
        ``JobNotRunning`` where the job has ended, also by itself at the same moment.
        """
        job = self.status(job_id)
        seat = self._seats.get(job.id)
        if seat is None:
            raise JobNotRunning
        request = StopRequest(by or job.owner, self._clock.now(), grace)
        self._apply(job.id, StopAsked(request))
        await seat.ended.wait()
        if not isinstance(seat.shown().status, Stopped):
            raise JobNotRunning

    async def signal(self, job_id: str, signal: str | int, *, by: str | None = None) -> str:
        """Send a signal to a job's program, and not to what that has started; returns its name.

        ``signal`` is a name (``HUP``, ``SIGHUP``) or a number, ``by`` who sends it, the owner
        where it is left out. Raises ``InvalidRequest``, ``JobNotFound``, and
        ``JobNotRunning`` where the program has ended or has not been started.
        """
        number = number_of(signal)
        job = self.status(job_id)
        request = SignalRequest(number, by or job.owner, self._clock.now())
        step(job, SignalAsked(request))  # raises where it cannot be
        await self._engine.signal(job.id, request)
        return name_of(number)

    async def rerun(
        self,
        job_id: str,
        *,
        by: str | None = None,
        role: Role = Role.USER,
        idempotency_key: str | None = None,
    ) -> Job:
        """Start a new job as that one was asked for, under what is granted now; returns it.

        It belongs to ``by``, who has that ``role``; to the owner where it is left out. Raises
        what ``submit`` does, ``JobNotFound``, and ``UnauthorizedAction`` where the spec is
        another user's and has an environment, which may hold secrets. ``InvalidRequest`` is
        raised where input came with the start.
        """
        model = self.status(job_id)
        owner = by or model.owner
        if owner != model.owner and is_private(model.spec):
            raise UnauthorizedAction(
                hint="its environment may hold secrets, so only its owner may rerun this job"
            )
        if model.spec.input is not None and model.spec.input.kind == "given":
            raise InvalidRequest(
                f"the job read {model.spec.input.size} bytes that came with its start, and those "
                "are not kept",
                hint="start it anew, with the input",
            )
        key = None if idempotency_key is None else key_for_rerun(idempotency_key, model.id)
        return await self._begin(as_asked(model.spec), owner, role, key)

    async def extend(
        self, job_id: str, seconds: float, *, by: str | None = None, role: Role = Role.USER
    ) -> datetime:
        """Give a running job more time; returns its deadline.

        ``by`` is who asks, the owner where it is left out; the ceilings are those of their
        ``role``. Raises ``JobNotFound``, ``JobNotRunning``, ``NoDeadline`` where the job has
        no time limit, ``LimitTooHigh``, and ``ProgramForbidden`` where the policy would not
        let the job start any more.
        """
        job = self.status(job_id)
        event = Extended(_longer(job, seconds), by or job.owner)
        step(job, event)  # raises where it cannot be
        timeout = event.timeout
        decision = await self._ask(self._authority.explain, job.owner, role, job.spec)
        if not decision.allowed:
            raise ProgramForbidden(f"the job may not go on for longer: {decision.reason}")
        decision.limits(Limits(timeout=timeout))
        await self._engine.extend(job.id, timeout, event.by)
        self._apply(job.id, event)
        deadline = self.status(job.id).deadline
        if deadline is None:
            raise JobNotRunning  # it ended meanwhile
        return deadline

    def attach(self, job_id: str, *, by: str | None = None, takeover: bool = False) -> Attachment:
        """Take hold of the input of a job that was started with one to feed; to be closed.

        ``by`` is who asks, the owner where it is left out. Raises ``JobNotFound``,
        ``JobNotRunning``, ``InputClosed`` where it has none, ``InputBusy`` where somebody
        else has hold of it and this is no ``takeover``, and ``ServiceUnavailable`` where
        too many jobs are fed.
        """
        job = self.status(job_id)
        return self._feeding.attach(job, by or job.owner, takeover=takeover)

    def refresh(self) -> None:
        """Take note that the authority has other rules: there may be room for who waits."""
        self._admission.bounds = self._authority.queue
        self._admit_waiting()

    async def remove(self, job_id: str) -> None:
        """Forget an ended job and its output; raises ``JobNotFound`` or ``JobRunning``."""
        job = self.status(job_id)
        if not job.ended:
            raise JobRunning
        if seat := self._seats.get(job.id):
            await seat.archived.wait()
        await self._archive.remove(job.id)


def _longer(job: Job, seconds: float) -> float:
    """The time limit that a job has with ``seconds`` more; 0 where it has none to extend."""
    if not isinstance(job.status, Running) or job.status.deadline is None:
        return 0
    return (job.status.deadline - job.status.started_at).total_seconds() + seconds


def _take_charge(state: Path) -> int:
    """Hold the lock of the state directory until the descriptor is closed."""
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StateInUse(f"another server is in charge of {state}") from None
    return fd
