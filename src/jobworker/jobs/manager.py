"""The manager of jobs: one method for each thing that can be done to jobs or asked of them.

The parts that it is composed of decide and do the work: the starter, the controller, the
archiver, queries, outputs and input sessions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from jobworker.errors import (
    InvalidRequest,
    JobNotRunning,
    JobRunning,
    ProgramForbidden,
    UnauthorizedAction,
)
from jobworker.jobs.archiver import Archiver
from jobworker.jobs.controller import Controller
from jobworker.jobs.idempotency import key_for_rerun, key_for_start
from jobworker.jobs.input import InputSession, InputSessions
from jobworker.jobs.lifecycle import Extended, SignalAsked, StopAsked, step
from jobworker.jobs.live import LiveJobs, Phase
from jobworker.jobs.outputs import BatchSize, Outputs, whole_chunk
from jobworker.jobs.ports import Archive, Clock, Engine, Owners
from jobworker.jobs.queries import Queries
from jobworker.jobs.room import Room
from jobworker.jobs.starter import Starter, StartOrder
from jobworker.model import (
    NO_LIMITS,
    Input,
    Job,
    JobId,
    JobQuery,
    Limits,
    Output,
    Page,
    Role,
    Running,
    SignalRequest,
    Spec,
    Stopped,
    StopRequest,
    Stream,
    brief,
)
from jobworker.output.frames import Frame, Selection
from jobworker.output.reader import OutputReader
from jobworker.policy.authority import Authority
from jobworker.signals import name_of, number_of

Frames = list[Frame]


class Manager:
    """The jobs of all owners on one engine and one archive.

    All methods belong to the event loop that it was made on, and may be called from any
    number of its tasks at once. It knows of no jobs before ``recover``.
    """

    def __init__(
        self,
        engine: Engine,
        archive: Archive,
        owners: Owners,
        clock: Clock,
        authority: Authority,
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._clock = clock
        self._authority = authority
        self._live_jobs = live_jobs = LiveJobs()
        self._room = Room()
        self._archiver = archiver = Archiver(engine, archive, live_jobs, self._room)
        self._controller = Controller(
            engine, archive, owners, clock, authority, live_jobs, archiver, self._room
        )
        self._starter = Starter(
            engine, archive, owners, clock, authority, live_jobs, self._controller
        )
        self._queries = Queries(archive, live_jobs)
        self._outputs = Outputs(engine, archive, live_jobs, archiver, self._queries)
        self._sessions = InputSessions(engine, live_jobs)

    def __repr__(self) -> str:
        return f"<Manager on {self._engine!r}: {self._live_jobs!r}, {self._sessions!r}>"

    async def recover(self) -> None:
        """Finds the jobs of the server before, and follows them from now on."""
        self._engine.listen(self._controller.apply)
        await self._controller.recover(await self._archive.unfinished())

    async def close(self) -> None:
        """Finishes archiving, if that is soon; jobs go on."""
        await self._controller.close()
        await self._archiver.close()

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
        """Runs ``program`` (an absolute path) for ``owner``; returns once its exec succeeded.

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
        """Starts a job of a whole spec, for an owner of that role; returns the job.

        ``stdin`` goes with a spec whose ``input`` is given. Of all calls of an owner with the
        same ``idempotency_key``, one starts a job and the others return it. Raises the errors
        of ``start``, ``IdempotencyKeyReused`` where the key came with another spec before,
        ``JobNotFound`` where its job has been removed. A caller that is cancelled meanwhile
        leaves the start to take its course.
        """
        key = None if idempotency_key is None else key_for_start(idempotency_key, spec)
        return await self._starter.start(StartOrder(spec, owner, role, key, stdin))

    async def stop(self, job_id: str, *, by: str | None = None, grace: float = 0.0) -> None:
        """Stops a job; returns once none of its processes is left.

        With a ``grace``, SIGTERM comes first and SIGKILL that many seconds later. ``by``
        is the user who asks, the owner where it is left out. Raises ``JobNotFound``, and
        ``JobNotRunning`` where the job has ended, also by itself at the same moment.
        """
        job = self.glance(job_id)
        live = self._live_jobs.get(job.id)
        if live is None:
            raise JobNotRunning
        await live.reached(Phase.QUEUED)  # before that there is nobody to pass the stop to
        request = StopRequest(by or job.owner, self._clock.now(), grace)
        self._controller.apply(job.id, StopAsked(request))
        await live.reached(Phase.ENDED)
        if not isinstance(live.shown().status, Stopped):
            raise JobNotRunning

    async def signal(self, job_id: str, signal: str | int, *, by: str | None = None) -> str:
        """Sends a signal to a job's program, and not to its children; returns the signal's name.

        ``signal`` is a name (``HUP``, ``SIGHUP``) or a number, ``by`` the user who sends it,
        the owner where it is left out. Raises ``InvalidRequest``, ``JobNotFound``, and
        ``JobNotRunning`` where the program has ended or has not been started.
        """
        number = number_of(signal)
        job = self.glance(job_id)
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
        """Starts a new job of that job's spec, as the policy grants it now; returns it.

        It belongs to ``by``, who has that ``role``; to the owner where it is left out. Raises
        the errors of ``submit``, ``JobNotFound``, ``UnauthorizedAction`` where the spec is
        another user's and has an environment, which may hold secrets, and ``InvalidRequest``
        where input came with the start.
        """
        model = self.status(job_id)
        owner = by or model.owner
        if owner != model.owner and model.spec.env:
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
        return await self._starter.start(StartOrder(model.spec, owner, role, key))

    async def extend(
        self, job_id: str, seconds: float, *, by: str | None = None, role: Role = Role.USER
    ) -> datetime:
        """Gives a running job more time; returns its deadline.

        ``by`` is the user who asks, the owner where it is left out; the ceilings are those of
        their ``role``. Raises ``JobNotFound``, ``JobNotRunning``, ``NoDeadline`` where the job
        has no time limit, ``LimitTooHigh``, and ``ProgramForbidden`` where the policy would
        not let the job start any more.
        """
        job = self.status(job_id)
        event = Extended(_longer(job, seconds), by or job.owner)
        step(job, event)  # raises where it cannot be
        timeout = event.timeout
        decision = await self._authority.ask(self._authority.explain, job.owner, role, job.spec)
        if not decision.allowed:
            raise ProgramForbidden(f"the job may not go on for longer: {decision.reason}")
        decision.limits(Limits(timeout=timeout))
        await self._engine.extend(job.id, timeout, event.by)
        self._controller.apply(job.id, event)
        deadline = self.glance(job.id).deadline
        if deadline is None:
            raise JobNotRunning  # it ended meanwhile
        return deadline

    def attach(self, job_id: str, *, by: str | None = None, takeover: bool = False) -> InputSession:
        """Takes hold of the input of a job that was started with one to feed; to be closed.

        ``by`` is the user who asks, the owner where it is left out. Raises ``JobNotFound``,
        ``JobNotRunning``, ``InputClosed`` where it has none, ``InputBusy`` where somebody
        else has hold of it and this is no ``takeover``, and ``ServiceUnavailable`` where
        too many jobs are fed.
        """
        job = self.glance(job_id)
        return self._sessions.attach(job, by or job.owner, takeover=takeover)

    def refresh(self) -> None:
        """Takes note that the authority has other rules: there may be room for queued jobs."""
        self._controller.refresh()

    async def trouble(self) -> str | None:
        """The cause why no job can be started just now; None where there is none."""
        return await self._engine.trouble()

    async def remove(self, job_id: str) -> None:
        """Deletes an ended job and its output; raises ``JobNotFound`` or ``JobRunning``."""
        job = self.glance(job_id)
        if not job.ended:
            raise JobRunning
        if live := self._live_jobs.get(job.id):
            await self._archiver.remove(live)
        else:
            await self._archiver.remove_archived(job.id)
            self._room.made()
        self._live_jobs.stored.add(job.owner, -job.output_kept)

    def status(self, job_id: str) -> Job:
        """The job as it stands; raises ``JobNotFound``."""
        return self._queries.whole(job_id)

    def glance(self, job_id: str) -> Job:
        """The job as it stands, without what is long in its spec; raises ``JobNotFound``."""
        return brief(self._queries.status(job_id))

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended, or as it stands after ``timeout`` seconds.

        It may be without what is long in its spec, as ``Job.cut`` tells. Raises
        ``JobNotFound``.
        """
        return await self._queries.wait(job_id, timeout)

    async def list(self, query: JobQuery | None = None) -> Page:
        """One page of jobs, newest first; raises ``InvalidRequest`` for a bad cursor.

        They are without what is long in their specs, as ``Job.cut`` tells, and a page may end
        early where there is much of them.
        """
        return await self._queries.list(query)

    def warning(self, job: Job) -> str | None:
        """A sentence on what the job was asked to use but cannot see; or None."""
        return self._queries.warning(job)

    async def output(self, job_id: str) -> Output:
        """All kept output of the job so far; raises ``JobNotFound``."""
        return await self._outputs.output(job_id)

    def reader(self, job_id: str) -> OutputReader:
        """A reader of the output by ranges; to be closed. Raises ``JobNotFound``."""
        return self._outputs.reader(job_id)

    def follow(
        self, job_id: str, stream: Stream, offset: int = 0, *, room: BatchSize = whole_chunk
    ) -> AsyncGenerator[bytes]:
        """The bytes of a stream from ``offset``, as they come, until the job has ended.

        Bytes that are not kept any more when their turn comes are left out. ``room`` gives the
        most bytes to read at once. Raises ``JobNotFound``.
        """
        return self._outputs.follow(job_id, stream, offset, room=room)

    def frames(
        self,
        job_id: str,
        wanted: Selection | None = None,
        *,
        tail: int | None = None,
        follow: bool = True,
        idle: float | None = None,
        room: BatchSize = whole_chunk,
    ) -> AsyncGenerator[Frames]:
        """Both streams in the order in which they came, until the job has ended.

        With ``tail`` they begin with that many of the lines so far, the last ones. Without
        ``follow`` they end with the output so far. An empty list comes whenever nothing has
        come for ``idle`` seconds; ``room`` gives the most bytes of a list. Raises
        ``JobNotFound``.
        """
        return self._outputs.frames(job_id, wanted, tail=tail, follow=follow, idle=idle, room=room)


def _longer(job: Job, seconds: float) -> float:
    """The job's time limit with ``seconds`` more; 0 where it has none to extend."""
    if not isinstance(job.status, Running) or job.status.deadline is None:
        return 0
    return (job.status.deadline - job.status.started_at).total_seconds() + seconds
