"""The start of jobs: from an order to a job that runs, is queued, or never was."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from jobworker.errors import JobWorkerError
from jobworker.jobs.controller import Controller
from jobworker.jobs.idempotency import KeyedStarts
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.ports import Archive, Clock, Engine, Owners
from jobworker.model import Job, JobId, Queued, Role, Spec, Starting, StartKey, Terms
from jobworker.policy.authority import Authority

log = logging.getLogger(__name__)

_LOOKS = 3
"""Looks at what the archive has of an owner: jobs that end meanwhile may be in it or not. An
owner whose jobs end all the time is a few of them off in the end."""


@dataclass(frozen=True, slots=True)
class StartOrder:
    """A spec to be started, and for whom; ``stdin`` holds the bytes of an input that is given."""

    spec: Spec
    owner: str
    role: Role = Role.USER
    key: StartKey | None = None
    stdin: bytes | None = None


class Starter:
    """Carries start orders out, each key once."""

    def __init__(
        self,
        engine: Engine,
        archive: Archive,
        owners: Owners,
        clock: Clock,
        authority: Authority,
        live_jobs: LiveJobs,
        controller: Controller,
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._owners = owners
        self._clock = clock
        self._authority = authority
        self._live_jobs = live_jobs
        self._controller = controller
        self._keyed = KeyedStarts(archive, live_jobs)
        self._under_way: set[asyncio.Task[Job]] = set()

    def __repr__(self) -> str:
        return f"<Starter: {len(self._under_way)} under way, {self._keyed!r}>"

    async def start(self, order: StartOrder) -> Job:
        """Starts a job; returns it once its program was executed or it was queued.

        A caller that is cancelled leaves the start to take its course. The errors are those
        of ``Manager.submit``.
        """
        task = asyncio.ensure_future(self._once(order))
        self._under_way.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report)
            raise

    async def _once(self, order: StartOrder) -> Job:
        if order.key is None:
            return await self._start(order)
        return await self._keyed.once(order.owner, order.key, lambda: self._start(order))

    async def _start(self, order: StartOrder) -> Job:
        spec, owner = order.spec, order.owner
        grant = await self._authority.ask(self._authority.grant, owner, order.role, spec)
        terms = Terms.of(grant)
        self._engine.check(spec, terms)
        terms = await self._with_room(order, terms)
        account = await self._owners.account(owner)
        warning = await self._engine.visibility_warning(spec, terms, account)
        live = await self._accept(order, terms, warning)
        if isinstance(live.job.status, Queued):
            return _whole(live.job, spec)
        await self._controller.hand_over(live, account, grant)
        await live.reached(Phase.BEGUN)
        if live.refusal:
            await live.reached(Phase.GONE)
            raise live.refusal
        return _whole(live.job, spec)

    async def _with_room(self, order: StartOrder, terms: Terms) -> Terms:
        """The terms with a limit of output that its owner has room for; raises ``StorageFull``."""
        bound = self._authority.stored_output
        if bound is None:
            return terms
        stored, owner = self._live_jobs.stored, order.owner
        for _ in range(_LOOKS):
            changes = stored.changes(owner)
            if changes is None:
                break
            kept = await self._archive.stored(owner)
            if changes == stored.changes(owner):
                stored.learn(owner, kept)
        else:
            stored.learn(owner, kept)
        output = stored.allot(owner, bound, order.spec.limits.output, terms.limits.output)
        return replace(terms, limits=replace(terms.limits, output=output))

    async def _accept(self, order: StartOrder, terms: Terms, warning: str | None) -> LiveJob:
        """Records a new job, with a running slot or a position in the queue."""
        phase = self._controller.enter(order.owner)
        job = Job(
            id=JobId.new(),
            owner=order.owner,
            spec=order.spec,
            terms=terms,
            status=Queued() if phase is Phase.QUEUED else Starting(),
            created_at=self._clock.now(),
            containment=self._engine.containment,
            node=self._engine.node,
        )
        live = LiveJob(job, Phase.RECORDING, warning)
        self._live_jobs.register(live)
        try:
            await self._record(job, order)
        except BaseException:
            self._live_jobs.remove(live)
            self._controller.leave(order.owner, phase)
            raise
        self._controller.enlist(live, phase)
        return live

    async def _record(self, job: Job, order: StartOrder) -> None:
        """Records a job and the input that it is to read: there is no job without its input."""
        if order.stdin is None:
            await self._archive.add(job, order.key)
            return
        await self._engine.input.keep(job.id, order.stdin)
        try:
            await self._archive.add(job, order.key)
        except BaseException:
            await self._engine.input.drop(job.id)
            raise


def _whole(job: Job, spec: Spec) -> Job:
    """The job with all of what was asked for."""
    return replace(job, spec=spec, cut=()) if job.cut else job


def _report(task: asyncio.Task[Job]) -> None:
    """Logs what broke a start whose caller has left; a refusal concerns nobody any more."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, JobWorkerError):
        log.error("a start came to nothing", exc_info=error)
