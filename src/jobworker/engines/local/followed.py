"""The engine's memory of its jobs, each kept until its directory is gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import IntEnum

from jobworker.futures import resolve
from jobworker.model import Job, StopRequest
from jobworker.spool.record import StartRecord


class Phase(IntEnum):
    """The engine's progress with a job; it never goes back."""

    FOLLOWED = 0
    """Its supervisor was ordered, or found again."""
    TOLD = 1
    """The listener knows of its end; its supervisor may be about to go."""
    GONE = 2
    """No process of it is left."""
    ABANDONED = 3
    """No process of it is left, and its supervisor did not clean up after it."""


@dataclass(slots=True)
class Start:
    """A start by this very server; ``again`` once its order was lost, and given once more.

    ``ordered`` is false while the order waits for a spawner to take it; ``overdue`` is the
    timer of a start of which nothing was heard yet.
    """

    job: Job
    uid: int
    offline: bool
    ordered: bool = False
    again: bool = False
    overdue: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class LocalJob:
    """The engine's memory of a job, kept until its directory is gone.

    ``start`` is the start that this very server has ordered, ``begun`` whether the listener
    knows that the program runs. ``started`` is what its supervisor has told of it;
    ``unrecorded`` a stop that the disk did not take.
    """

    start: Start | None = None
    started: StartRecord | None = None
    unrecorded: StopRequest | None = None
    begun: bool = False
    phase: Phase = Phase.FOLLOWED
    _gone: asyncio.Future[None] | None = None
    """Made by the first who waits: few jobs that run have one, and an event takes a kilobyte."""

    @property
    def is_gone(self) -> bool:
        """Whether no process of it is left."""
        return self.phase >= Phase.GONE

    async def until_gone(self) -> None:
        """Returns once no process of it is left."""
        if self.is_gone:
            return
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        await asyncio.wait(
            {self._gone}
        )  # another may wait too: a cancellation ends this wait alone

    def heard(self) -> None:
        """Takes note that something came of its start."""
        if self.start and self.start.overdue:
            self.start.overdue.cancel()
            self.start.overdue = None

    def advance(self, phase: Phase) -> None:
        """Enters a phase; an earlier one changes nothing."""
        self.phase = max(self.phase, phase)
        if self.is_gone and self._gone is not None:
            resolve(self._gone)
