"""Who feeds which job: one at a time, from when its program runs until one of them ends."""

from __future__ import annotations

import asyncio

from jobworker.errors import InputBusy, InputClosed, JobNotRunning, ServiceUnavailable
from jobworker.model import Job, JobId
from jobworker.ports import Engine, InputWriter
from jobworker.seats import Seat, Seats

MOST_BY_ONE = 32
"""Jobs that one user may feed at once: the library below keeps up to 64 MiB of a message
that is on its way, whatever we would take of it."""

MOST = 128
"""Jobs that may be fed at once, by all users."""


class Attachment:
    """One's hold on a job's input, to be closed.

    ``terminal`` where that is what reads it; ``displaced`` is set once another took over.
    """

    def __init__(self, engine: Engine, seat: Seat, by: str, held: dict[JobId, Attachment]) -> None:
        source = seat.job.spec.input
        assert source is not None
        self.terminal = source.kind == "terminal"
        self.by = by
        self.displaced = asyncio.Event()
        self._engine = engine
        self._seat = seat
        self._held = held
        self._writer: InputWriter | None = None
        self._open = False

    async def open(self) -> None:
        """Return once the program runs, where the job has to wait first.

        Raises ``InputClosed`` where it has ended, or reads no input any more.
        """
        await self._seat.begun.wait()
        if self._seat.job.ended or self._seat.refusal:
            raise InputClosed("the job has ended")
        self._writer = self._engine.open_input(self._seat.job)
        self._open = True

    @property
    def taken(self) -> int:
        """Bytes that have gone where the program reads."""
        return self._writer.taken if self._writer is not None else 0

    async def write(self, data: bytes) -> None:
        """Return once all of it has; raises ``InputClosed``."""
        assert self._writer is not None
        await self._writer.write(data)

    async def resize(self, rows: int, cols: int) -> None:
        """Change the terminal's size; raises ``InputClosed``."""
        assert self._writer is not None
        await self._writer.resize(rows, cols)

    async def end(self) -> None:
        """Say that no more is to come, now or ever: the program reads an end of file."""
        self._let_go()
        await self._engine.end_input(self._seat.job.id)

    async def job_ended(self) -> None:
        """Return once the job has ended."""
        await self._seat.ended.wait()

    def close(self) -> None:
        """Make room for another; the input stays open unless it was ended."""
        self._let_go()
        if self._held.get(self._seat.job.id) is self:
            del self._held[self._seat.job.id]

    def _let_go(self) -> None:
        if self._open and self._writer is not None:
            self._open = False
            self._writer.close()


class Feeding:
    """All attachments to the jobs of one engine."""

    def __init__(self, engine: Engine, seats: Seats) -> None:
        self._engine = engine
        self._seats = seats
        self._held: dict[JobId, Attachment] = {}

    def attach(self, job: Job, by: str, *, takeover: bool) -> Attachment:
        """Take hold of a job's input; the errors are told at ``Manager.attach``."""
        seat = self._seats.get(job.id)
        if job.spec.input is None or job.spec.input.kind == "given":
            raise InputClosed(
                "the job was started without an input to feed",
                hint='start it with jobctl run -i or -t, or with "input" in the request',
            )
        if seat is None or job.ended:
            raise JobNotRunning
        before = self._held.get(job.id)
        if before is not None:
            if not takeover:
                raise InputBusy(hint="take over with jobctl attach, or ?takeover=true")
            before.displaced.set()
        else:
            self._refuse_too_many(by)
        attachment = self._held[job.id] = Attachment(self._engine, seat, by, self._held)
        return attachment

    def _refuse_too_many(self, by: str) -> None:
        own = sum(attachment.by == by for attachment in self._held.values())
        if own >= MOST_BY_ONE or len(self._held) >= MOST:
            raise ServiceUnavailable(
                f"too many jobs are being fed: {own} by {by}, {len(self._held)} in all",
                hint="end one of them, or send the input with the start (--stdin)",
            )
