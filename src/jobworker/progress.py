"""Live jobs as they go on: each event, what it calls for, and who waits for a place.

Here, and nowhere else, a live job changes; what a change comes to is decided by ``lifecycle``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TypeVar

from jobworker.admission import Admission
from jobworker.errors import JobWorkerError
from jobworker.granting import as_granted
from jobworker.lifecycle import (
    Admitted,
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
from jobworker.lookup import Lookup
from jobworker.model import Cause, Grant, JobId, Queued, Role, Spec, StopRequest
from jobworker.policy.authority import Authority
from jobworker.ports import Archive, Clock, Engine
from jobworker.seats import Seat

log = logging.getLogger(__name__)

T = TypeVar("T")

Asked = tuple[str, Role, Spec]
"""Of whom and of what the authority is asked: owner, role, spec."""

_STOP_PAUSE = 0.5
"""Seconds between attempts to pass on a stop. Nothing tells when there is a descriptor."""

_CLOSING_PATIENCE = 1.0
"""Seconds to finish what is being archived; what is not is found again at the next start."""


class Progress(Lookup):
    """The jobs of one engine and one archive, and everything that happens to them."""

    def __init__(
        self, engine: Engine, archive: Archive, clock: Clock, authority: Authority
    ) -> None:
        super().__init__(engine, archive)
        self._clock = clock
        self._authority = authority
        self._admission = Admission(authority.queue)
        self._tasks: set[asyncio.Task[None]] = set()

    def _apply(self, job_id: JobId, event: Event) -> None:
        """Let something happen to a job; the one place where a live job changes."""
        seat = self._seats.get(job_id)
        if seat is None:
            return
        if isinstance(event, Ended):
            event = _with_hint(event, seat.blind_spot)
        queued = isinstance(seat.job.status, Queued)
        seat.job, effects = step(seat.job, event)
        for effect in effects:
            self._carry_out(seat, effect)
        # A stop leaves open what comes of a start, unless there is none to come.
        if queued or not isinstance(event, StopAsked):
            seat.begun.set()

    def _carry_out(self, seat: Seat, effect: Effect) -> None:
        match effect:
            case DeliverStop(stop):
                self._in_background(self._deliver(seat, stop))
            case Settle():
                self._let_go(seat)
                self._in_background(self._filing.file(seat))
            case Withdraw(error):
                seat.refusal = error
                self._let_go(seat)
                self._in_background(self._filing.forget(seat))

    async def _deliver(self, seat: Seat, stop: StopRequest) -> None:
        """Pass a stop on, also where files cannot be opened just now: somebody waits for it."""
        while not seat.job.ended:
            try:
                await self._engine.stop(seat.job.id, stop)
            except OSError as error:
                log.warning("cannot stop job %s, will try again: %s", seat.job.id, error)
                await asyncio.sleep(_STOP_PAUSE)
            else:
                return

    def _let_go(self, seat: Seat) -> None:
        """Tell who waits for the job's end, those who wait for its place included."""
        seat.ended.set()
        owner = seat.job.owner
        if seat.placed:
            seat.placed = False
            self._admission.leave(owner)
            self._admit_waiting()
        else:
            self._admission.leave_line(seat.job.id, owner)

    def _give_back(self, owner: str, *, placed: bool) -> None:
        if placed:
            self._admission.leave(owner)
            self._admit_waiting()
        else:
            self._admission.give_up()

    def _admit_waiting(self) -> None:
        """Start as many of those who wait as there is room for."""
        while job_id := self._admission.next():
            seat = self._seats.get(job_id)
            assert seat is not None
            seat.placed = True
            self._in_background(self._admit(seat))

    async def _admit(self, seat: Seat) -> None:
        """Start a job that had to queue, if the policy still allows it; a stop may come first."""
        job = seat.job
        try:
            role = await self._archive.role(job.owner)
            grant = await self._ask(self._authority.grant, job.owner, role, job.spec)
            account = await self._archive.account(job.owner)
            await self._archive.admit(seat.job.id)
        except JobWorkerError as error:
            self._apply(seat.job.id, Refused(error, self._clock.now()))
            return
        if isinstance(seat.job.status, Queued):
            seat.job = replace(seat.job, spec=as_granted(job.spec, grant))
            self._apply(seat.job.id, Admitted())
            await self._hand_over(seat, account, grant)

    async def _ask(self, question: Callable[[str, Role, Spec], T], *of: *Asked) -> T:
        """Ask the authority; in a thread where it may have to read a whole file."""
        if self._authority.may_take_long:
            return await asyncio.to_thread(question, *of)
        return question(*of)

    async def _hand_over(self, seat: Seat, account: int, grant: Grant) -> None:
        """Have the job started; no stop can come between the call and the order."""
        job = seat.job
        try:
            await self._engine.start(job, account, grant)
        except JobWorkerError as error:
            self._apply(job.id, Refused(error, self._clock.now()))

    async def _recover(self) -> None:
        """Find the jobs of the server before: those that run or ran, and those that wait."""
        jobs = await self._archive.unfinished()
        for job in jobs:
            queued = isinstance(job.status, Queued)
            self._seats.add(Seat(job, placed=not queued))
            if queued:
                self._admission.expect()
                self._admission.line_up(job.id, job.owner)
            else:
                self._admission.occupy(job.owner)
        await self._engine.sweep_inputs({job.id for job in jobs})
        await self._engine.recover(job for job in jobs if not isinstance(job.status, Queued))
        self._admit_waiting()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a job could not be followed up", exc_info=error)

    async def _close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING_PATIENCE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.close()


def _with_hint(event: Ended, blind_spot: str | None) -> Ended:
    """A program that failed, and was asked to use what it could not see, is told so."""
    end = event.end
    if blind_spot is None or end.cause is not Cause.EXITED or end.exit_code == 0:
        return event
    return Ended(replace(end, detail=blind_spot))
