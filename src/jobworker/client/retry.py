"""The waits and retries of the client: set here, and nowhere else.

Pure: it decides, and ``session.py`` does the waiting.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from jobworker.errors import JobWorkerError


class RetryPolicy:
    """The time-outs and retries of one client, all in seconds; not changed once made.

    ``connect``
        for TCP and TLS: enough for three lost packets in a row (1 + 2 + 4 s).
    ``answer``
        without a byte of an answer, beyond what the call itself may take.
    ``calls``
        how long a plain call is tried again while the server is away; 0: never again.
    ``outage``
        the same for ``wait``, ``run``, ``follow``: a server that is upgraded, or a
        network that is repaired, costs nobody a long job's output.
    ``first_pause``, ``longest_pause``
        between two attempts: doubled each time, and shortened by chance, so that a
        hundred clients do not come back in one instant.
    """

    __slots__ = ("answer", "calls", "connect", "first_pause", "longest_pause", "outage")

    def __init__(
        self,
        *,
        connect: float = 10.0,
        answer: float = 60.0,
        calls: float = 10.0,
        outage: float = 300.0,
        first_pause: float = 0.1,
        longest_pause: float = 5.0,
    ) -> None:
        self.connect: Final = connect
        self.answer: Final = answer
        self.calls: Final = calls
        self.outage: Final = outage
        self.first_pause: Final = first_pause
        self.longest_pause: Final = longest_pause

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"RetryPolicy({fields})"


class Retry:
    """The argument of ``on_retry`` before each pause: what went wrong, and what comes now.

    ``attempt`` counts from 1 within one outage; ``pause`` is in seconds.
    """

    __slots__ = ("attempt", "error", "pause")

    def __init__(self, error: JobWorkerError, attempt: int, pause: float) -> None:
        self.error = error
        self.attempt = attempt
        self.pause = pause

    def __repr__(self) -> str:
        return f"Retry({self.error!r}, attempt={self.attempt}, pause={self.pause:.3f})"


class RetryState:
    """One call's view of a server that is away: since when, and when to ask again.

    ``unsure`` says whether an attempt was lost that the server may have carried out.
    """

    def __init__(self, retry_policy: RetryPolicy, budget: float) -> None:
        self.unsure = False
        self._retry_policy = retry_policy
        self._budget = budget
        self._attempts = 0
        self._began: float | None = None

    def retry(self, error: JobWorkerError, now: float, chance: float | None = None) -> Retry | None:
        """The next attempt after ``error`` at the time ``now`` (monotonic); None: give up.

        ``chance``, from 0 to 1, shortens the pause by up to half.
        """
        from random import random  # which only a failure pays for

        if self._began is None:
            self._began = now
        longest = self._retry_policy.longest_pause
        pause = min(self._retry_policy.first_pause * 2 ** min(self._attempts, 32), longest)
        pause *= 1 - (random() if chance is None else chance) / 2  # noqa: S311  no secret
        pause = max(pause, min(error.retry_after or 0.0, longest))
        if now + pause - self._began > self._budget:
            return None
        self._attempts += 1
        return Retry(error, self._attempts, pause)

    def answered(self) -> None:
        """Makes the budget whole, as the server answers again.

        The pauses stay long: a server that answers and hangs up is not asked in a rush.
        """
        self._began = None

    def over(self) -> None:
        """Forgets the outage, as what was asked for has come."""
        self._began = None
        self._attempts = 0


DEFAULT = RetryPolicy()
