"""When a job has to end, and who or what wanted it: decided here, done by ``attend``.

Times are of the monotonic clock, in seconds, so that nobody gains time or loses it by
setting the machine's clock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Fields

ASK = "ask"
"""What to do: ask every process to end, by SIGTERM."""

KILL = "kill"
"""What to do: kill every process."""


class Ending:
    """A stop that was asked for, a time limit, and what is due when.

    What comes first is the cause; what comes after it can only hasten the end.
    """

    def __init__(self) -> None:
        self.cause: bytes | None = None
        self._why: Fields = []
        self._kill_at: float | None = None
        self._began = 0.0
        self._timeout: float | None = None
        self._grace = 0.0
        self._extended: Fields = []

    def limit_time(self, now: float, timeout: float, grace: float) -> None:
        """From ``now`` on the job has ``timeout`` seconds, and ``grace`` from SIGTERM on."""
        self._began, self._timeout, self._grace = now, timeout, grace

    def move_deadline(self, section: Fields) -> None:
        """Change the time limit to what a section of the record says."""
        self._timeout = float(dict(section)["timeout"])
        self._extended = [(key, value) for key, value in section if key == "extendedBy"]

    def stop(self, now: float, section: Fields) -> str | None:
        """Take a stop from the record; returns what to do at once."""
        return self._begin(now, b"stopped", float(dict(section)["grace"]), section)

    def end_now(self, cause: bytes, why: Fields) -> str | None:
        """Kill the job for a reason of our own."""
        return self._begin(0.0, cause, 0.0, why)

    def due_at(self) -> float | None:
        """When something is to be done; None where nothing is."""
        if self.cause is None and self._timeout is not None:
            return self._began + self._timeout
        return self._kill_at

    def due(self, now: float) -> str | None:
        """What is to be done now."""
        due_at = self.due_at()
        if due_at is None or now < due_at:
            return None
        if self.cause is not None:
            self._kill_at = None
            return KILL
        assert self._timeout is not None
        why = [("timeout", b"%.3f" % self._timeout), ("grace", b"%.3f" % self._grace)]
        return self._begin(now, b"timeout", self._grace, [*why, *self._extended])

    def evidence(self) -> Fields:
        """What the exit record tells of the cause."""
        return [(f"evidence.{key}", value) for key, value in self._why]

    def _begin(self, now: float, cause: bytes, grace: float, why: Fields) -> str | None:
        first = self.cause is None
        kill_at = now + grace
        if first:
            self.cause, self._why = cause, why
        elif self._kill_at is None or kill_at >= self._kill_at:
            return None  # it is killed already, or will be sooner
        if grace <= 0:
            self._kill_at = None
            return KILL
        self._kill_at = kill_at
        return ASK if first else None
