"""The decision when a job has to end, and for what cause; ``attend`` carries it out.

Times are of the monotonic clock, in seconds, so that no job gains time or loses it by
a change of the machine's clock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Fields

ASK = "ask"
"""The action of asking every process to end, by SIGTERM."""

KILL = "kill"
"""The action of killing every process."""


class Ending:
    """A stop that was asked for, a time limit, and the next action with its time.

    The first to come is the cause; a later one can only hasten the end.
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
        """Gives the job ``timeout`` seconds from ``now``, and ``grace`` from SIGTERM on."""
        self._began, self._timeout, self._grace = now, timeout, grace

    def move_deadline(self, section: Fields) -> None:
        """Changes the time limit to what a section of the record says."""
        self._timeout = float(dict(section)["timeout"])
        self._extended = [(key, value) for key, value in section if key == "extendedBy"]

    def stop(self, now: float, section: Fields) -> str | None:
        """Takes a stop from the record; returns the action that is due at once."""
        return self._begin(now, b"stopped", float(dict(section)["grace"]), section)

    def end_now(self, cause: bytes, why: Fields) -> str | None:
        """Kills the job for a reason of our own."""
        return self._begin(0.0, cause, 0.0, why)

    def due_at(self) -> float | None:
        """The time of the next action; None without one."""
        if self.cause is None and self._timeout is not None:
            return self._began + self._timeout
        return self._kill_at

    def due(self, now: float) -> str | None:
        """The action that is due now."""
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
        """The cause's fields in the exit record."""
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
