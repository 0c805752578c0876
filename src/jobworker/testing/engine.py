"""An engine whose jobs do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import count

from jobworker.errors import (
    InputClosed,
    JobNotRunning,
    JobWorkerError,
    ServiceUnavailable,
)
from jobworker.futures import resolve
from jobworker.jobs.lifecycle import Ended, Event, Extended, Lost, Refused, Started, StopAsked
from jobworker.jobs.ports import Clock, Listener
from jobworker.model import (
    Cause,
    End,
    Grant,
    Job,
    JobId,
    Level,
    SignalRequest,
    Spec,
    StopRequest,
    Stream,
    Terms,
    Usage,
    nanoseconds,
)
from jobworker.output import spans
from jobworker.output.reader import OutputReader
from jobworker.supervisor.records import INDEX_ENTRY, PLACE
from jobworker.testing.clock import FakeClock
from jobworker.testing.output import OUTPUTS, MemoryOutput

_FIRST_PID = 10_000_000
"""Above the largest PID of Linux, so that no test can signal a real process with one."""


@dataclass
class _FakeJob:
    """A job from its start until it is discarded; ``started`` unless its start was refused."""

    started: Started | None
    account: int
    grant: Grant
    output: MemoryOutput = field(default_factory=MemoryOutput)
    stop: StopRequest | None = None
    extended: Extended | None = None
    last: Refused | Ended | Lost | None = None
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def wake(self) -> None:
        """Wakes whoever waits for a change."""
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            resolve(waiter)

    def standing(self) -> list[Event]:
        """The events of the job that the next server is told of, in this order."""
        told: list[Event] = [self.started] if self.started else []
        if isinstance(self.last, Refused):
            return [Lost("the program was not started", self.last.at)]
        if self.last:
            return [*told, self.last]
        if self.stop:
            return [*told, StopAsked(self.stop)]
        return [*told, self.extended] if self.extended else told


class FakeInputWriter:
    """Keeps what a job is fed (``ports.InputWriter``)."""

    def __init__(self, job: _FakeJob, fed: bytearray) -> None:
        self._job = job
        self._fed = fed
        self.taken = 0

    async def write(self, data: bytes) -> None:
        """Takes it all; raises ``InputClosed`` once the job has ended."""
        self._refuse_ended()
        self.taken += len(data)
        self._fed += data

    async def resize(self, rows: int, cols: int) -> None:  # noqa: ARG002 - the port's
        """Takes no note; raises ``InputClosed`` once the job has ended."""
        self._refuse_ended()

    def close(self) -> None:
        """Nothing is held open."""

    def _refuse_ended(self) -> None:
        if self._job.last:
            raise InputClosed("the program reads no more input")


class FakeInput:
    """Keeps what jobs are given and fed (``ports.InputChannel``).

    ``data`` has the bytes of each job, also after its end; ``kept`` names the jobs whose input
    waits for their start, ``over`` those whose input was ended.
    """

    def __init__(self, jobs: dict[JobId, _FakeJob]) -> None:
        self._jobs = jobs
        self.data: dict[JobId, bytearray] = {}
        self.kept: set[JobId] = set()
        self.over: set[JobId] = set()

    async def keep(self, job_id: JobId, data: bytes) -> None:
        """Keeps it in ``data``."""
        self.data[job_id] = bytearray(data)
        self.kept.add(job_id)

    async def drop(self, job_id: JobId) -> None:
        """Removes it."""
        self.data.pop(job_id, None)
        self.kept.discard(job_id)

    async def sweep(self, known: Collection[JobId]) -> None:
        """Removes that of jobs that are not known."""
        self.data = {job_id: data for job_id, data in self.data.items() if job_id in known}
        self.kept.intersection_update(known)

    def open(self, job: Job) -> FakeInputWriter:
        """Adds to ``data``; raises ``InputClosed`` where the program does not read."""
        known = self._jobs.get(job.id)
        if known is None or known.last:
            raise InputClosed("the job has ended")
        if job.spec.input is None or job.spec.input.kind == "given":
            raise InputClosed("the job was started without an input to feed")
        if job.id in self.over:
            raise InputClosed("the end of the job's input has been sent already")
        return FakeInputWriter(known, self.data.setdefault(job.id, bytearray()))

    async def end(self, job_id: JobId) -> None:
        """Notes it in ``over``."""
        self.over.add(job_id)


class FakeOutput:
    """The output that a test makes the jobs of a ``FakeEngine`` write (``ports.OutputSource``)."""

    def __init__(self, jobs: dict[JobId, _FakeJob]) -> None:
        self._jobs = jobs

    def reader(self, job_id: JobId) -> OutputReader:
        """The job's output so far; raises ``FileNotFoundError`` where there is no job."""
        return self._job(job_id).output

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """Done when the job writes, ends or is discarded."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job(job_id).waiting.append(waiter)
        return waiter

    def _job(self, job_id: JobId) -> _FakeJob:
        if job_id not in self._jobs:
            raise FileNotFoundError(f"{job_id} was never started, or has been discarded")
        return self._jobs[job_id]


class FakeEngine:
    """An engine whose jobs do what the test says (``ports.Engine``).

    A job that is handed over counts as started at once. ``stops`` holds every stop that
    was asked, ``signals`` every signal, ``extensions`` every change of a time limit;
    where ``obeys`` is set, as it is at first, a stop ends the job. ``hidden`` is what
    ``visibility_warning`` answers, ``unavailable`` what ``check`` and ``start`` raise,
    ``ailment`` what ``trouble`` answers. What
    happens while it is disconnected is told by ``recover``, as after a restart.
    """

    def __init__(
        self, *, clock: Clock | None = None, containment: Level = "basic", node: str = "fake"
    ) -> None:
        self.containment: Level = containment
        self.node = node
        self.obeys = True
        self.hidden: str | None = None
        self.unavailable: JobWorkerError | None = None
        self.ailment: str | None = None
        self.stops: list[tuple[JobId, StopRequest]] = []
        self.signals: list[tuple[JobId, SignalRequest]] = []
        self.extensions: list[tuple[JobId, float, str]] = []
        self._clock = clock or FakeClock()
        self._jobs: dict[JobId, _FakeJob] = {}
        self.input = FakeInput(self._jobs)
        self.output = FakeOutput(self._jobs)
        self._refusal: JobWorkerError | None = None
        self._listener: Listener = _nobody
        self._pids = count(_FIRST_PID)

    def __repr__(self) -> str:
        ended = sum(job.last is not None for job in self._jobs.values())
        told = f"{len(self._jobs) - ended} running, {ended} ended"
        return f"<FakeEngine {self.containment} on {self.node}: {told}>"

    # What the test says.

    def refuse_next(self, error: JobWorkerError) -> None:
        """Lets the next start fail with ``error``, as where there is no such program."""
        self._refusal = error

    def write(self, job_id: JobId, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Lets the job write ``data``; the index gets its entry."""
        job = self._running(job_id)
        job.output.append(stream, data)
        moment = nanoseconds(self._clock.now())
        job.output.append(Stream.INDEX, INDEX_ENTRY.pack(moment, stream.value, len(data)))
        job.wake()

    def skip(self, job_id: JobId, length: int, stream: Stream = Stream.STDOUT) -> None:
        """Lets the job write ``length`` bytes that are not kept, as past its output limit."""
        job = self._running(job_id)
        job.output.skip(stream, length)
        place = INDEX_ENTRY.pack(job.output.end(stream), PLACE + stream.value, 0)
        job.output.append(Stream.INDEX, place)
        job.wake()

    def exit(self, job_id: JobId, code: int = 0) -> None:
        """Lets the program exit with ``code``."""
        self._tell(job_id, self._end(job_id, Cause.EXITED, exit_code=code))

    def kill(self, job_id: JobId, signal: str = "SIGKILL") -> None:
        """Lets a signal end the program."""
        self._tell(job_id, self._end(job_id, Cause.SIGNALED, signal=signal))

    def lose(self, job_id: JobId, why: str = "the supervisor is gone") -> None:
        """Lets the job vanish without an exit record."""
        job = self._running(job_id)
        job.last = Lost(why, self._clock.now())
        job.wake()
        self._tell(job_id, job.last)

    def account_of(self, job_id: JobId) -> int:
        """The account that the job was started as."""
        return self._jobs[job_id].account

    def grant_of(self, job_id: JobId) -> Grant:
        """The grant that the policy had made of the job's spec."""
        return self._jobs[job_id].grant

    # What the manager calls.

    def listen(self, listener: Listener) -> None:
        """Tells ``listener`` of everything from now on."""
        self._listener = listener

    def disconnect(self) -> None:
        """Tells nobody of anything until there is another listener, as while no server runs."""
        self._listener = _nobody

    def check(self, spec: Spec, terms: Terms) -> None:  # noqa: ARG002 - the port's
        """Raises what ``unavailable`` was set to."""
        if self.unavailable:
            raise self.unavailable

    async def trouble(self) -> str | None:
        """The value that ``ailment`` was set to."""
        return self.ailment

    async def visibility_warning(self, spec: Spec, terms: Terms, account: int) -> str | None:  # noqa: ARG002 - the port's
        """The value that ``hidden`` was set to."""
        return self.hidden

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Takes the job as started, unless ``refuse_next`` was called; raises what ``check`` does.

        ``ServiceUnavailable`` is raised where its input was to come with it and was not kept.
        """
        self.check(job.spec, job.terms)
        if job.spec.input and job.spec.input.kind == "given":
            if job.id not in self.input.kept:
                raise ServiceUnavailable("cannot give the job its input: it was not kept")
            self.input.kept.remove(job.id)
        event: Started | Refused
        if self._refusal:
            event, self._refusal = Refused(self._refusal, self._clock.now()), None
            self._jobs[job.id] = _FakeJob(None, account, grant, last=event)
        else:
            event = Started(next(self._pids), self._clock.now())
            self._jobs[job.id] = _FakeJob(event, account, grant)
        self._tell_soon(job.id, event)

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Notes the stop; the job ends if the engine obeys and it has not ended before."""
        self.stops.append((job_id, stop))
        job = self._jobs.get(job_id)
        if job is None or job.last:
            return
        job.stop = stop
        if self.obeys:
            end = self._end(job_id, Cause.STOPPED, signal="SIGKILL", stopped_by=stop.by)
            self._tell_soon(job_id, end)

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Notes the signal; what comes of it is up to the test."""
        job = self._jobs.get(job_id)
        if job is None or job.last:
            raise JobNotRunning
        self.signals.append((job_id, request))

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Notes the extension."""
        self.extensions.append((job_id, timeout, by))
        if job := self._jobs.get(job_id):
            job.extended = Extended(timeout, by)

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Tells where each of ``jobs`` stands, and forgets the others.

        One that was never started here is lost.
        """
        known = [job.id for job in jobs]
        for job_id in self._jobs.keys() - set(known):
            self._forget(job_id)
        for job_id in known:
            if job := self._jobs.get(job_id):
                for event in job.standing():
                    self._tell(job_id, event)
            else:
                why = "the engine knows nothing of it"
                self._tell(job_id, Lost(why, self._clock.now(), never_ran=True))

    async def withdraw(self, job_id: JobId) -> None:
        """Forgets a job whose start was refused, but for its input."""
        if self._jobs.pop(job_id, None) and job_id in self.input.data:
            self.input.kept.add(job_id)

    async def shed(self, job_id: JobId) -> None:
        """Empties the job's output."""
        if job := self._jobs.get(job_id):
            job.output.clear()

    async def discard(self, job_id: JobId) -> None:
        """Forgets a job once it has ended."""
        while (job := self._jobs.get(job_id)) and job.last is None:
            await self.output.change(job_id)
        self._forget(job_id)

    def _forget(self, job_id: JobId) -> None:
        self.input.kept.discard(job_id)
        if job := self._jobs.pop(job_id, None):
            job.wake()

    def _end(
        self,
        job_id: JobId,
        cause: Cause,
        *,
        exit_code: int | None = None,
        signal: str | None = None,
        stopped_by: str | None = None,
    ) -> Ended:
        job = self._running(job_id)
        assert job.started is not None
        out, err = (spans.length(job.output.spans(stream)) for stream in OUTPUTS)
        gaps = [gap for stream in OUTPUTS for gap in job.output.gaps(stream)]
        dropped = sum(gap.end - gap.start for gap in gaps)
        usage = Usage(stdout_bytes=out, stderr_bytes=err, dropped_bytes=dropped)
        end = End(
            cause,
            finished_at=self._clock.now(),
            started_at=job.started.at,
            exit_code=exit_code,
            signal=signal,
            stopped_by=stopped_by,
            usage=usage,
            gaps=tuple(gaps),
        )
        job.last = Ended(end)
        job.wake()
        return job.last

    def _running(self, job_id: JobId) -> _FakeJob:
        job = self._jobs[job_id]
        assert job.last is None, f"{job_id} has ended"
        return job

    def _tell(self, job_id: JobId, event: Event) -> None:
        self._listener(job_id, event)

    def _tell_soon(self, job_id: JobId, event: Event) -> None:
        """Tells it after the call that caused it has returned, as a real engine does."""
        asyncio.get_running_loop().call_soon(self._tell, job_id, event)


def _nobody(_job_id: JobId, _event: Event) -> None:
    """Listens to nothing."""
