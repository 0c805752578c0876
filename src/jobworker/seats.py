"""The table of live jobs: what is remembered of each until it is in the archive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from jobworker.errors import JobNotFound, JobWorkerError
from jobworker.model import Job, JobId


@dataclass(slots=True)
class Seat:
    """A live job, who waits for it, and what it could not see from the start.

    ``placed`` while it counts among the running ones.
    """

    job: Job
    blind_spot: str | None = None
    placed: bool = True
    refusal: JobWorkerError | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    archived: asyncio.Event = field(default_factory=asyncio.Event)

    def shown(self) -> Job:
        """The job as it stands; raises ``JobNotFound`` where its start was refused meanwhile."""
        if self.refusal:
            raise JobNotFound
        return self.job


class Seats:
    """All live jobs, by ID and by owner."""

    def __init__(self) -> None:
        self._seats: dict[JobId, Seat] = {}
        self._owned: dict[str, set[JobId]] = {}

    def add(self, seat: Seat) -> None:
        """Give a job a seat."""
        self._seats[seat.job.id] = seat
        self._owned.setdefault(seat.job.owner, set()).add(seat.job.id)

    def remove(self, seat: Seat) -> None:
        """Take it away, and tell who waits for that."""
        del self._seats[seat.job.id]
        owned = self._owned[seat.job.owner]
        owned.discard(seat.job.id)
        if not owned:
            del self._owned[seat.job.owner]
        seat.archived.set()

    def get(self, job_id: JobId) -> Seat | None:
        """The seat of a live job, or None."""
        return self._seats.get(job_id)

    def ended(self) -> list[Seat]:
        """Those that have ended and are not in the archive yet."""
        return [seat for seat in self._seats.values() if seat.job.ended]

    def owned(self, owner: str) -> frozenset[JobId]:
        """The live jobs of an owner."""
        return frozenset(self._owned.get(owner, ()))
