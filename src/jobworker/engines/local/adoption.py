"""Follows jobs that this server's spawner did not start, or does not mind any more.

What is found of each on the disk goes to ``recovery``, which decides where the job stands. One
job that cannot be looked at keeps no other from being followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial

from jobworker.engines.local.followed import LocalJob, Phase
from jobworker.engines.local.monitor import Monitor
from jobworker.engines.local.orders import Orders, Tell
from jobworker.engines.local.recovery import Evidence, standing
from jobworker.engines.local.supervisors import notify
from jobworker.errors import JobWorkerError
from jobworker.jobs.lifecycle import Event, Lost, Started
from jobworker.model import JobId, StopRequest
from jobworker.spool.record import Record, RefusalRecord
from jobworker.spool.spool import Spool
from jobworker.supervisor import records

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds between attempts to look at a job. EMFILE and a broken disk have no event to wait for."""


class Adoption:
    """Looks at jobs of ``jobs``, and puts the others away.

    ``tell`` passes an event on, ``refuse`` the account of a program that was not executed;
    ``gone`` is called when a supervisor is, and ``discard`` removes what is left of its job.
    """

    def __init__(
        self,
        spool: Spool,
        jobs: dict[JobId, LocalJob],
        monitor: Monitor,
        orders: Orders,
        *,
        tell: Tell,
        refuse: Callable[[LocalJob, RefusalRecord], None],
        gone: Callable[[JobId, LocalJob], None],
        discard: Callable[[JobId], Coroutine[None, None, None]],
    ) -> None:
        self._spool = spool
        self._jobs = jobs
        self._monitor = monitor
        self._orders = orders
        self._tell = tell
        self._refuse = refuse
        self._gone = gone
        self._discard = discard
        self._closed = False

    def __repr__(self) -> str:
        return f"<Adoption of {len(self._jobs)} jobs{', closed' if self._closed else ''}>"

    def close(self) -> None:
        """Looks no more."""
        self._closed = True

    def adopt(
        self, job_id: JobId, *, same_boot: bool, order_lost: bool = False, again: bool = False
    ) -> None:
        """Follows a supervisor that is not (any more) our spawner's.

        Where the job cannot be looked at, that is tried ``again``, without a further word: the
        log may lie on the disk that is broken.
        """
        known = self._jobs.get(job_id)
        if known is None or known.phase >= Phase.GONE or self._closed:
            return
        if known.start and not known.start.ordered:
            return  # no spawner has heard of it yet
        try:
            self._look_at(job_id, known, same_boot=same_boot, order_lost=order_lost)
        except OSError as error:
            level = logging.DEBUG if again else logging.WARNING
            log.log(level, "cannot look at job %s, will try again: %s", job_id, error)
            look = partial(
                self.adopt, job_id, same_boot=same_boot, order_lost=order_lost, again=True
            )
            asyncio.get_running_loop().call_later(_PAUSE, look)
        except Exception:
            log.exception("cannot follow job %s", job_id)  # the others can be followed

    def clear_away(self, job_id: JobId, *, again: bool = False) -> None:
        """Removes all that is left of a job that nobody was told of, or that has been archived.

        It does so now or later, and keeps no server from starting.
        """
        if self._closed:
            return
        try:
            self._clear_away(job_id)
        except OSError as error:
            level = logging.DEBUG if again else logging.WARNING
            log.log(level, "cannot remove what is left of job %s, later: %s", job_id, error)
            later = partial(self.clear_away, job_id, again=True)
            asyncio.get_running_loop().call_later(_PAUSE, later)

    def _look_at(
        self, job_id: JobId, known: LocalJob, *, same_boot: bool, order_lost: bool
    ) -> None:
        found = self._spool.exists(job_id)
        # The lock is asked for first: who holds none any more records no more.
        supervised = found and self._spool.supervised(job_id)
        record = self._spool.record(job_id) if found else None
        evidence = Evidence(
            record=record,
            supervised=supervised,
            boot_id=records.boot_id(),
            same_boot=same_boot,
            told=known.phase >= Phase.TOLD,
        )
        stands = standing(evidence, datetime.now(UTC))
        if stands.supervised:
            known.started = record.start if record else None
            supervisor = record.supervisor if record else None
            self._monitor.watch(job_id, supervisor, lambda: self._gone(job_id, known))
        elif stands.unbegun and known.start:
            if order_lost:
                self._orders.give_again(known)
            else:
                self._orders.give_up(known, "its supervisor was killed before that")
            return
        else:
            known.advance(Phase.ABANDONED if found else Phase.GONE)
        for event in stands.events:
            self._tell_found(job_id, known, event, record)

    def _tell_found(
        self, job_id: JobId, known: LocalJob, event: Event, record: Record | None
    ) -> None:
        """Tells what was found of a job; a stop or an extension may have come too late there."""
        if isinstance(event, Lost) and known.start and record and record.refusal:
            self._refuse(known, record.refusal)
            return
        if isinstance(event, Started) and known.begun:
            return
        try:
            self._tell(job_id, known, event)
        except JobWorkerError as error:
            log.info("job %s: %s was found too late: %s", job_id, type(event).__name__, error)

    def _clear_away(self, job_id: JobId) -> None:
        supervised = self._spool.supervised(job_id)
        start = self._spool.record(job_id).supervisor if supervised else None
        known = self._jobs[job_id] = LocalJob(phase=Phase.TOLD)
        if supervised:
            self._spool.note_stop(job_id, StopRequest("jobd", datetime.now(UTC)))
            notify(start)
            self._monitor.watch(job_id, start, lambda: self._gone(job_id, known))
        else:
            known.advance(Phase.ABANDONED)
        task = asyncio.ensure_future(self._discard(job_id))
        task.add_done_callback(_report)


def _report(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("cannot remove what is left of a job: %s", error)
