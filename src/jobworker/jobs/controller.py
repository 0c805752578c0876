"""Live jobs as they go on: each event with its effects, and the queue for running slots.

Here, and nowhere else, a live job changes; ``lifecycle`` decides the effects of a change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace

from jobworker.errors import JobWorkerError
from jobworker.jobs.admission import Admission
from jobworker.jobs.archiver import Archiver
from jobworker.jobs.lifecycle import (
    Admitted,
    DeliverStop,
    Effect,
    Ended,
    Event,
    Finalize,
    Refused,
    Requeue,
    RollBack,
    StopAsked,
    step,
)
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.ports import Archive, Clock, Engine, Owners
from jobworker.jobs.queries import with_whole_spec
from jobworker.jobs.room import Room
from jobworker.model import Cause, End, Grant, Job, JobId, Queued, StopRequest, Terms, brief
from jobworker.policy.authority import Authority

log = logging.getLogger(__name__)

_STOP_PAUSE = 0.5
"""Seconds between attempts to pass on a stop. EMFILE has no event to wait for."""

_ROOM_PAUSE = 5.0
"""Seconds until a queued job that found no room is tried again, where nothing is removed
meanwhile: other programs make room, too, and nobody tells of that. A try costs a write or two."""

_CLOSING_PATIENCE = 1.0
"""Seconds to finish archiving; a job that takes longer is found again at the next start."""


class Controller:
    """Applies every event to its job, carries out its effects, and admits queued jobs."""

    def __init__(
        self,
        engine: Engine,
        archive: Archive,
        owners: Owners,
        clock: Clock,
        authority: Authority,
        live_jobs: LiveJobs,
        archiver: Archiver,
        room: Room | None = None,
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._owners = owners
        self._clock = clock
        self._authority = authority
        self._live_jobs = live_jobs
        self._archiver = archiver
        self._admission = Admission(authority.queue)
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        """While it runs, no queued job is started: the last one found no room."""
        (room or Room()).listen(self._end_pause)

    def __repr__(self) -> str:
        return f"<Controller: {self._admission!r}, {len(self._tasks)} tasks>"

    def apply(self, job_id: JobId, event: Event) -> None:
        """Applies an event to a job; this is the one place where a live job changes.

        Raises the errors of ``lifecycle.step``.
        """
        live = self._live_jobs.get(job_id)
        if live is None:
            return
        if isinstance(event, Ended):
            event = _with_hint(event, live.warning)
        queued = isinstance(live.job.status, Queued)
        live.job, effects = step(live.job, event)
        for effect in effects:
            self._carry_out(live, effect)
        # A stop leaves the result of a start open, and an admitted job has not begun yet.
        queued = queued or isinstance(live.job.status, Queued)
        if not queued and not isinstance(event, StopAsked):
            live.advance(Phase.BEGUN)

    def _carry_out(self, live: LiveJob, effect: Effect) -> None:
        match effect:
            case DeliverStop(stop):
                self._in_background(self._deliver(live, stop))
            case Finalize():
                _log_end(live.job)
                had_slot = live.has_slot
                live.advance(Phase.ENDED)
                self._leave(live, had_slot=had_slot)
                self._in_background(self._archiver.archive(live))
            case RollBack(error):
                had_slot = live.has_slot
                live.refuse(error)
                self._leave(live, had_slot=had_slot)
                self._in_background(self._archiver.roll_back(live))
            case Requeue(error, pause):
                log.warning("cannot start queued job %s, will try again: %s", live.job.id, error)
                live.requeue()
                self._admission.leave(live.job.owner)
                if pause:
                    self._begin_pause()
                self._in_background(self._requeue(live))

    async def _requeue(self, live: LiveJob) -> None:
        """Puts a job back before all others of its owner, once nothing is left of its start."""
        while isinstance(live.job.status, Queued):
            try:
                await self._engine.withdraw(live.job.id)
                await self._archive.put_back(live.job.id)
            except (JobWorkerError, OSError) as error:
                log.debug("cannot take back the start of job %s: %s", live.job.id, error)
                await asyncio.sleep(_ROOM_PAUSE)
            else:
                break
        if isinstance(live.job.status, Queued):  # no stop came meanwhile
            self._admission.put_back(live.job.id, live.job.owner)
            self.admit()

    def _begin_pause(self) -> None:
        if self._pause is None:
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(_ROOM_PAUSE, self._end_pause)

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            self.admit()

    async def _deliver(self, live: LiveJob, stop: StopRequest) -> None:
        """Passes a stop on, again and again where no file can be opened: a caller waits for it."""
        while not live.job.ended:
            try:
                await self._engine.stop(live.job.id, stop)
            except OSError as error:
                log.warning("cannot stop job %s, will try again: %s", live.job.id, error)
                await asyncio.sleep(_STOP_PAUSE)
            else:
                return

    def enter(self, owner: str) -> Phase:
        """Takes a running slot for a new job of ``owner``, or a position in the queue.

        Returns the phase that the job begins in. The caller has to call ``enlist`` next, or
        ``leave`` where nothing comes of the job. Raises ``TooManyJobs``.
        """
        return Phase.STARTING if self._admission.enter(owner) else Phase.QUEUED

    def leave(self, owner: str, phase: Phase) -> None:
        """Gives back what ``enter`` has taken."""
        if phase is Phase.QUEUED:
            self._admission.give_up()
        else:
            self._admission.leave(owner)
            self.admit()

    def enlist(self, live: LiveJob, phase: Phase) -> None:
        """Lets a job that is recorded enter the phase that ``enter`` gave it.

        That is the end of the queue where it has no slot.
        """
        live.advance(phase)
        if phase is Phase.QUEUED:
            live.job = brief(live.job)
            self._admission.enqueue(live.job.id, live.job.owner)
            self.admit()  # a slot may have become free meanwhile

    def _leave(self, live: LiveJob, *, had_slot: bool) -> None:
        if had_slot:
            self._admission.leave(live.job.owner)
            self.admit()
        else:
            self._admission.dequeue(live.job.id, live.job.owner)

    def refresh(self) -> None:
        """Takes over the authority's present bounds: there may be room for queued jobs."""
        self._admission.bounds = self._authority.queue
        self.admit()

    def admit(self) -> None:
        """Starts as many of the queued jobs as there are slots for."""
        while self._pause is None and (job_id := self._admission.next()):
            live = self._live_jobs.get(job_id)
            assert live is not None
            live.advance(Phase.STARTING)
            self._in_background(self._start_queued(live))

    async def _start_queued(self, live: LiveJob) -> None:
        """Starts a job that was queued, if the policy still allows it; a stop may come first."""
        try:
            job = with_whole_spec(live.job, self._archive)
            role = await self._owners.role(job.owner)
            grant = await self._authority.ask(self._authority.grant, job.owner, role, job.spec)
            account = await self._owners.account(job.owner)
            await self._archive.admit(job.id)
        except JobWorkerError as error:
            self.apply(job.id, Refused(error, self._clock.now()))
            return
        if isinstance(live.job.status, Queued):
            live.job = replace(live.job, terms=_terms(grant, live.reserved))
            self.apply(job.id, Admitted())
            live.job = replace(live.job, spec=job.spec, cut=())
            await self.hand_over(live, account, grant)

    async def hand_over(self, live: LiveJob, account: int, grant: Grant) -> None:
        """Has the engine start the job; a stop that comes meanwhile is for the engine to keep.

        From then on its whole spec is in the spool and in the archive, and not in memory.
        """
        job = live.job
        try:
            await self._engine.start(job, account, grant)
        except JobWorkerError as error:
            self.apply(job.id, Refused(error, self._clock.now()))
        live.job = brief(live.job)

    async def recover(self, unfinished: list[Job]) -> None:
        """Goes on with the jobs of the server before: those that run or ran, and those queued."""
        for job in unfinished:
            if isinstance(job.status, Queued):
                self._live_jobs.register(LiveJob(job, Phase.QUEUED))
                self._admission.expect()
                self._admission.enqueue(job.id, job.owner)
            else:
                self._live_jobs.register(LiveJob(job, Phase.STARTING))
                self._admission.occupy(job.owner)
        await self._engine.input.sweep({job.id for job in unfinished})
        started = [job for job in unfinished if not isinstance(job.status, Queued)]
        await self._engine.recover(started)
        self.admit()

    async def close(self) -> None:
        """Gives archiving a moment to finish, and drops the rest: it is recovered later."""
        if self._pause is not None:
            self._pause.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING_PATIENCE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a job could not be followed up", exc_info=error)


def _terms(grant: Grant, reserved: int) -> Terms:
    """The terms of a job that was queued: of output it gets no more than was reserved for it."""
    terms = Terms.of(grant)
    output = terms.limits.output
    if output is None or not reserved:
        return terms
    return replace(terms, limits=replace(terms.limits, output=min(output, reserved)))


def _log_end(job: Job) -> None:
    """Logs a line for each end; arguments and variables are left out: they may hold secrets."""
    end = job.end
    assert end is not None
    fields = {
        "job": str(job.id),
        "owner": job.owner,
        "program": job.spec.program[:200],
        "status": str(job.status.name),
        "cause": str(end.cause),
        "reason": job.reason,
        "exit": end.exit_code,
        "seconds": _lasted(end),
    }
    log.info("job ended", extra=fields)


def _lasted(end: End) -> float | None:
    """Seconds from the program's start to its end; None where it was not started."""
    if end.started_at is None:
        return None
    return round((end.finished_at - end.started_at).total_seconds(), 3)


def _with_hint(event: Ended, warning: str | None) -> Ended:
    """The event with the job's visibility warning in its end, where the program failed."""
    end = event.end
    if warning is None or end.cause is not Cause.EXITED or end.exit_code == 0:
        return event
    return Ended(replace(end, detail=warning))
