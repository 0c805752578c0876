"""The sessions that feed jobs: one per job at a time, from when its program runs.

A session lasts until it or the job ends.
"""

from __future__ import annotations

import asyncio

from jobworker.errors import InputBusy, InputClosed, JobNotRunning, ServiceUnavailable
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.jobs.ports import Engine, InputWriter
from jobworker.model import Job, JobId

MOST_BY_ONE = 32
"""Jobs that one user may feed at once: the library below keeps up to 64 MiB of a message
that is on its way, whatever we would take of it."""

MOST = 128
"""Jobs that may be fed at once, by all users. Sessions count until they are closed: who has
been displaced keeps what is on its way, up to the end of the goodbye."""


class InputSession:
    """One user's hold on a job's input, to be closed.

    ``terminal`` is true where a terminal reads it, ``by`` names who feeds it; ``displaced`` is
    set once another session took over.
    """

    def __init__(self, engine: Engine, live: LiveJob, by: str, sessions: set[InputSession]) -> None:
        source = live.job.spec.input
        self.terminal = source is not None and source.kind == "terminal"
        self.by = by
        self.displaced = asyncio.Event()
        self._input = engine.input
        self._live = live
        self._sessions = sessions
        self._writer: InputWriter = _Unopened()

    def __repr__(self) -> str:
        return f"<InputSession of {self._live.job.id} by {self.by}, {self.taken} bytes taken>"

    @property
    def job_id(self) -> JobId:
        """The job that is fed."""
        return self._live.job.id

    async def open(self) -> None:
        """Returns once the program runs, where the job is queued.

        Raises ``InputClosed`` where it has ended, or reads no input any more.
        """
        await self._live.reached(Phase.BEGUN)
        if self._live.phase >= Phase.ENDED:
            raise InputClosed("the job has ended")
        self._writer = self._input.open(self._live.job)

    @property
    def taken(self) -> int:
        """The number of bytes that have gone where the program reads."""
        return self._writer.taken

    async def write(self, data: bytes) -> None:
        """Returns once all of ``data`` has gone there; raises ``InputClosed``."""
        await self._writer.write(data)

    async def resize(self, rows: int, cols: int) -> None:
        """Changes the terminal's size; raises ``InputClosed``."""
        await self._writer.resize(rows, cols)

    async def end(self) -> None:
        """Ends the input for good: the program reads an end of file."""
        self._writer.close()
        await self._input.end(self._live.job.id)

    async def job_ended(self) -> None:
        """Returns once the job has ended."""
        await self._live.reached(Phase.ENDED)

    def close(self) -> None:
        """Makes room for another session; the input stays open unless it was ended."""
        self._writer.close()
        self._sessions.discard(self)


class _Unopened:
    """The writer of a session that has not been opened (``ports.InputWriter``)."""

    taken = 0

    async def write(self, data: bytes) -> None:  # noqa: ARG002 - the port's
        raise InputClosed("the program has not been started yet")

    async def resize(self, rows: int, cols: int) -> None:  # noqa: ARG002 - the port's
        raise InputClosed("the program has not been started yet")

    def close(self) -> None:
        """Does nothing, as nothing is held open."""


class InputSessions:
    """All sessions that feed jobs of one engine."""

    def __init__(self, engine: Engine, live_jobs: LiveJobs) -> None:
        self._engine = engine
        self._live_jobs = live_jobs
        self._open: set[InputSession] = set()

    def __repr__(self) -> str:
        jobs = len({session.job_id for session in self._open})
        return f"<InputSessions: {jobs} jobs are fed>"

    def attach(self, job: Job, by: str, *, takeover: bool) -> InputSession:
        """Takes hold of a job's input; raises the errors of ``Manager.attach``."""
        live = self._live_jobs.get(job.id)
        if job.spec.input is None or job.spec.input.kind == "given":
            raise InputClosed(
                "the job was started without an input to feed",
                hint='start it with jobctl run -i or -t, or with "input" in the request',
            )
        if live is None or job.ended:
            raise JobNotRunning
        before = [session for session in self._open if session.job_id == job.id]
        if not takeover and not all(session.displaced.is_set() for session in before):
            raise InputBusy(hint="take over with jobctl attach, or ?takeover=true")
        self._refuse_too_many(by, before)
        for session in before:
            session.displaced.set()
        session = InputSession(self._engine, live, by, self._open)
        self._open.add(session)
        return session

    def _refuse_too_many(self, by: str, of_the_job: list[InputSession]) -> None:
        if len(of_the_job) > 1:
            raise ServiceUnavailable(
                "the input of this job is being taken over",
                hint="try again once the client before has been told, in a few seconds",
            )
        own = sum(session.by == by for session in self._open)
        # Who takes a place over needs none, but only for the moment of the goodbye.
        spare = len(of_the_job)
        if own >= MOST_BY_ONE + spare or len(self._open) >= MOST + spare:
            raise ServiceUnavailable(
                f"too many jobs are being fed: {own} by {by}, {len(self._open)} in all",
                hint="end one of them, or send the input with the start (--stdin)",
            )
