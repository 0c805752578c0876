"""The decision which job may start, which has to wait, and which is next: fair between owners.

The next running slot goes to the owner with the fewest running jobs, among those to the one whose
last turn is longest ago, and then to the one who has waited longest. It deals with numbers
and names only, and starts nothing itself.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from jobworker.errors import TooManyJobs
from jobworker.model import JobId
from jobworker.policy.rules import QueueBounds


@dataclass(slots=True)
class Admission:
    """The running slots that are taken, and the queues of jobs that wait for one."""

    bounds: QueueBounds
    _running: Counter[str] = field(default_factory=Counter)
    _queues: dict[str, OrderedDict[JobId, int]] = field(default_factory=dict)
    _waiting: int = 0
    _turns: dict[str, int] = field(default_factory=dict)
    _moment: int = 0

    def enter(self, owner: str) -> bool:
        """Takes a running slot for a job of ``owner``; False where it has to wait.

        Raises ``TooManyJobs`` where it may not even wait. A job that has to wait counts from
        now on: the caller has to call ``enqueue`` next, or ``give_up`` where nothing comes of it.
        """
        if self._has_room(owner):
            self.occupy(owner)
            return True
        if self._waiting >= self.bounds.queued:
            raise TooManyJobs(
                f"{self._waiting} jobs are waiting already, and no more may",
                hint="try again when some of them have ended",
            )
        self._waiting += 1
        return False

    def occupy(self, owner: str) -> None:
        """Takes a running slot, whether there is one or not: the job runs already."""
        self._running[owner] += 1
        self._turns[owner] = self._now()

    def leave(self, owner: str) -> None:
        """Gives a running slot back."""
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]

    def enqueue(self, job_id: JobId, owner: str) -> None:
        """Puts a job that has to wait at the end of its owner's queue."""
        self._queues.setdefault(owner, OrderedDict())[job_id] = self._now()

    def put_back(self, job_id: JobId, owner: str) -> None:
        """Puts a job whose start was put off before all others of its owner."""
        self.expect()
        self.enqueue(job_id, owner)
        self._queues[owner].move_to_end(job_id, last=False)

    def dequeue(self, job_id: JobId, owner: str) -> None:
        """Takes a job out of its queue, if it is in one."""
        queue = self._queues.get(owner, OrderedDict())
        if queue.pop(job_id, None) is not None:
            self._waiting -= 1
        if not queue:
            self._queues.pop(owner, None)

    def give_up(self) -> None:
        """Counts one waiting job less, before it was queued."""
        self._waiting -= 1

    def expect(self) -> None:
        """Counts one waiting job more, which is to be queued, beyond the bound if need be."""
        self._waiting += 1

    def next(self) -> JobId | None:
        """The job that is to start now, for which this takes a slot; None where there is none."""
        ready = [owner for owner in self._queues if self._has_room(owner)]
        if not ready:
            return None
        owner = min(ready, key=self._rank)
        job_id = next(iter(self._queues[owner]))
        self.dequeue(job_id, owner)
        self.occupy(owner)
        return job_id

    def _rank(self, owner: str) -> tuple[int, int, int]:
        waiting_since = next(iter(self._queues[owner].values()))
        return self._running[owner], self._turns.get(owner, 0), waiting_since

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    def _has_room(self, owner: str) -> bool:
        most, most_per_user = self.bounds.running, self.bounds.running_per_user
        if most is not None and self._running.total() >= most:
            return False
        return most_per_user is None or self._running[owner] < most_per_user
