"""Who may start now, who has to wait, and who is next: fair between owners.

The next place goes to the owner with the fewest running jobs, among those to the one whose
last turn is longest ago, and then to the one who has waited longest. Numbers and names
only; nothing is done here.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from jobworker.errors import TooManyJobs
from jobworker.model import JobId
from jobworker.policy.rules import QueueBounds


@dataclass(slots=True)
class Admission:
    """The places that are taken, and the lines of those who wait for one."""

    bounds: QueueBounds
    _running: Counter[str] = field(default_factory=Counter)
    _lines: dict[str, OrderedDict[JobId, int]] = field(default_factory=dict)
    _waiting: int = 0
    _turns: dict[str, int] = field(default_factory=dict)
    _moment: int = 0

    def enter(self, owner: str) -> bool:
        """Take a place for a job of ``owner``; False where it has to wait.

        Raises ``TooManyJobs`` where it may not even wait. Who has to wait counts from now
        on, and is to ``line_up``, or to ``leave_line`` where nothing comes of it.
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
        """Take a place, whether there is room or not: the job runs already."""
        self._running[owner] += 1
        self._turns[owner] = self._now()

    def leave(self, owner: str) -> None:
        """Give a place back."""
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]

    def line_up(self, job_id: JobId, owner: str) -> None:
        """Have a job that has to wait stand at the end of its owner's line."""
        self._lines.setdefault(owner, OrderedDict())[job_id] = self._now()

    def leave_line(self, job_id: JobId, owner: str) -> None:
        """Wait no more; fine for a job that has not lined up, or is next already."""
        line = self._lines.get(owner, OrderedDict())
        if line.pop(job_id, None) is not None:
            self._waiting -= 1
        if not line:
            self._lines.pop(owner, None)

    def give_up(self) -> None:
        """Wait no more, before having lined up."""
        self._waiting -= 1

    def expect(self) -> None:
        """Count one more who is to line up, beyond the bound if need be."""
        self._waiting += 1

    def next(self) -> JobId | None:
        """The job that is to start now, whose place is taken with this; None where none is."""
        ready = [owner for owner in self._lines if self._has_room(owner)]
        if not ready:
            return None
        owner = min(ready, key=self._rank)
        job_id = next(iter(self._lines[owner]))
        self.leave_line(job_id, owner)
        self.occupy(owner)
        return job_id

    def _rank(self, owner: str) -> tuple[int, int, int]:
        waiting_since = next(iter(self._lines[owner].values()))
        return self._running[owner], self._turns.get(owner, 0), waiting_since

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    def _has_room(self, owner: str) -> bool:
        most, most_per_user = self.bounds.running, self.bounds.running_per_user
        if most is not None and self._running.total() >= most:
            return False
        return most_per_user is None or self._running[owner] < most_per_user
