"""The orders to start jobs: given, given again where they were lost, given up where they hang."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from jobworker.engines.local.followed import LocalJob, Phase, Start
from jobworker.engines.local.spawner_link import SpawnerLink
from jobworker.engines.local.supervisors import kill
from jobworker.errors import ServiceUnavailable, reason_of
from jobworker.jobs.lifecycle import Event, Lost, Refused
from jobworker.model import JobId
from jobworker.spool.spool import Spool

log = logging.getLogger(__name__)

BUDGET = 30.0
"""Seconds until a start that nothing was heard of is given up. It takes milliseconds, and a
second behind hundreds of others; what takes longer hangs, on a file system for one."""

_PAUSE = 1.0
"""Seconds between attempts to give one up. A broken disk has no event to wait for."""

Tell = Callable[[JobId, LocalJob, Event], None]


class Orders:
    """Sees that something comes of every start, and that what is told of it stays true.

    ``tell`` passes an event on; ``find`` looks at a job that runs, though nobody said so.
    """

    def __init__(
        self, spool: Spool, spawner: SpawnerLink, tell: Tell, find: Callable[[JobId], None]
    ) -> None:
        self._spool = spool
        self._spawner = spawner
        self._tell = tell
        self._find = find
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Orders: {len(self._tasks)} given again>"

    def close(self) -> None:
        """Gives nothing up any more: the next server finds what there is."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def give(self, known: LocalJob) -> None:
        """Orders a supervisor; raises ``OSError`` where no spawner takes the order."""
        start = _start_of(known)
        known.heard()
        start.ordered = False
        await self._spawner.order(start.job.id, start.uid, offline=start.offline, patience=BUDGET)
        start.ordered = True
        loop = asyncio.get_running_loop()
        start.overdue = loop.call_later(BUDGET, self._settle, known)

    def give_again(self, known: LocalJob) -> None:
        """Repeats an order that was lost with its spawner; once, as it may have killed that."""
        start = _start_of(known)
        if start.again:
            self.give_up(known, "the spawner was killed before that, twice")
            return
        start.again = True
        task = asyncio.ensure_future(self._repeat(known))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self, known: LocalJob) -> None:
        try:
            await self.give(known)
        except OSError as error:
            self.give_up(known, f"the spawner does not take orders: {reason_of(error)}")

    def give_up(self, known: LocalJob, why: str, *, phase: Phase = Phase.ABANDONED) -> None:
        """Tells that a program was not executed, and never will be: it may be tried again."""
        known.advance(phase)
        error = ServiceUnavailable(f"the job could not be started: {why}", hint="try again")
        self._tell(_start_of(known).job.id, known, Refused(error, datetime.now(UTC)))

    def _settle(self, known: LocalJob) -> None:
        """Ends the wait for a start of which nothing was heard."""
        start = _start_of(known)
        if self._closed or known.begun or known.phase >= Phase.TOLD:
            return
        log.error("nothing has come of the start of job %s within %g s", start.job.id, BUDGET)
        try:
            self._void(known, start.job.id)
        except OSError as error:
            log.warning("cannot give that start up, will try again: %s", error)
            start.overdue = asyncio.get_running_loop().call_later(_PAUSE, self._settle, known)

    def _void(self, known: LocalJob, job_id: JobId) -> None:
        """Sees that the program is never executed; where it may have been, kills it.

        A supervisor writes ``launch`` before it looks for ``void``, and we the other way round:
        so one of us sees what the other has written.
        """
        why = f"nothing came of its start within {BUDGET:g} s"
        if not self._spool.exists(job_id):
            self.give_up(known, why)
            return
        claimed = self._spool.claim(job_id)
        if claimed is not None:
            try:
                self._spool.remove(job_id)  # a late order finds nothing, or what is locked
            finally:
                self._spool.release(claimed)
            self.give_up(known, why)
            return
        self._spool.note_void(job_id)
        record = self._spool.record(job_id)
        if record.start:
            self._find(job_id)
        elif record.supervisor:
            kill(record.supervisor)
            self._tell(job_id, known, Lost(f"{why}, and it was killed", datetime.now(UTC)))
        else:
            self.give_up(known, why, phase=Phase.TOLD)


def _start_of(known: LocalJob) -> Start:
    assert known.start is not None
    return known.start
