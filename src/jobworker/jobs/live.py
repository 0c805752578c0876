"""The table of live jobs, each of which stays in it until it is in the archive.

What has moved there just now is remembered, as that is when it is asked for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum

from jobworker.errors import JobNotFound, JobWorkerError
from jobworker.futures import resolve
from jobworker.jobs.stored_output import StoredOutput
from jobworker.model import Job, JobId, brief

MOST_REMEMBERED = 256
"""Archived jobs that are remembered: those of a second of heavy load. They are ``brief``, so
that each takes 50 KB at most, with the longest labels, and some 3 KB mostly."""


class Phase(IntEnum):
    """The progress of the manager with a live job; it never goes back, but to ``QUEUED``.

    Users see the job's status; tasks wait for a phase.
    """

    RECORDING = 0
    """Its record is on the way to the archive; a list may show it before we know of that."""
    QUEUED = 1
    """The job waits for a running slot."""
    STARTING = 2
    """The job has a running slot, and nothing has come of its start yet."""
    BEGUN = 3
    """Its program was executed."""
    ENDED = 4
    """Its status is final; it is being archived."""
    REFUSED = 5
    """Its program was not executed and nobody was told of the job: it is being rolled back."""
    GONE = 6
    """The job is in the archive, or no trace of it is left."""


_Waiter = tuple[Phase, asyncio.Future[None]]


@dataclass(slots=True)
class LiveJob:
    """A live job, its phase and the futures that wait for the next one.

    ``warning`` is its visibility warning; ``reserved`` the bytes of output that it may write;
    ``refusal`` says why its start was refused, in the phases from ``REFUSED`` on. Who holds
    ``moving`` takes it out of the spool.
    """

    job: Job
    phase: Phase = Phase.STARTING
    warning: str | None = None
    refusal: JobWorkerError | None = None
    reserved: int = 0
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiters: set[_Waiter] | None = None
    """None while nobody waits: empty, it would take a fifth of a kilobyte for each job."""

    def __repr__(self) -> str:
        return f"<LiveJob {self.job.id} {self.phase.name}, {len(self._waiters or ())} waiting>"

    @property
    def has_slot(self) -> bool:
        """Whether it counts among the running jobs."""
        return self.phase in (Phase.STARTING, Phase.BEGUN)

    def advance(self, phase: Phase) -> None:
        """Enters a phase and wakes the tasks that wait for it; an earlier one changes nothing."""
        if phase <= self.phase:
            return
        self.phase = phase
        for waiter in [each for each in self._waiters or () if each[0] <= phase]:
            self._forget(waiter)
            resolve(waiter[1])

    def refuse(self, error: JobWorkerError) -> None:
        """Enters the phase ``REFUSED``."""
        self.refusal = error
        self.advance(Phase.REFUSED)

    def requeue(self) -> None:
        """Enters the phase ``QUEUED`` once more: nothing has come of its start."""
        assert self.phase is Phase.STARTING
        self.phase = Phase.QUEUED

    def reached(self, phase: Phase) -> asyncio.Future[None]:
        """A future that is done once the job is in ``phase`` or a later one."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if phase <= self.phase:
            future.set_result(None)
        else:
            waiter = (phase, future)
            self._waiters = self._waiters or set()
            self._waiters.add(waiter)
            future.add_done_callback(lambda _: self._forget(waiter))
        return future

    def _forget(self, waiter: _Waiter) -> None:
        if self._waiters is not None:
            self._waiters.discard(waiter)
            self._waiters = self._waiters or None

    def shown(self) -> Job:
        """The job as it stands; raises ``JobNotFound`` where its start has been refused."""
        if self.refusal:
            raise JobNotFound
        return self.job


class LiveJobs:
    """All live jobs, by ID."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, LiveJob] = {}
        self._archived: OrderedDict[JobId, Job] = OrderedDict()
        self.stored = StoredOutput()

    def __repr__(self) -> str:
        counts = dict.fromkeys(Phase, 0)
        for live in self._jobs.values():
            counts[live.phase] += 1
        told = ", ".join(f"{count} {phase.name}" for phase, count in counts.items() if count)
        return f"<LiveJobs: {told or 'none'}>"

    def register(self, live: LiveJob) -> None:
        """Adds a job."""
        self._jobs[live.job.id] = live
        live.reserved = live.job.terms.limits.output or 0
        self.stored.reserve(live.job.owner, live.reserved)

    def remove(self, live: LiveJob) -> None:
        """Removes a job, which is ``GONE``."""
        del self._jobs[live.job.id]
        self.stored.reserve(live.job.owner, -live.reserved)
        self.stored.add(live.job.owner, live.job.output_kept)
        live.advance(Phase.GONE)

    def remove_archived(self, live: LiveJob) -> None:
        """Removes a job that is in the archive now, and remembers it for a while."""
        self._archived[live.job.id] = brief(live.job)
        if len(self._archived) > MOST_REMEMBERED:
            self._archived.popitem(last=False)
        self.remove(live)

    def archived(self, job_id: JobId) -> Job | None:
        """The job as it is in the archive, if it came there just now; it is ``brief``."""
        return self._archived.get(job_id)

    def forget(self, job_id: JobId) -> None:
        """Remembers an archived job no more; to be called before its record changes."""
        self._archived.pop(job_id, None)

    def get(self, job_id: JobId) -> LiveJob | None:
        """The live job of that ID, or None."""
        return self._jobs.get(job_id)

    def ended(self) -> list[LiveJob]:
        """The jobs that have ended and are not in the archive yet."""
        return [live for live in self._jobs.values() if live.job.ended]
