r"""Stand-ins for tests of code that uses this library; no process, no disk.

``FakeEngine`` starts nothing: the test says what becomes of each job. ``MemoryArchive``
keeps what the real archive would, and passes the same contract tests. ``FakeClock``
goes only when it is told to.

    engine = FakeEngine()
    ...                                   # a manager on this engine starts a job
    engine.write(job.id, b"hello\n")
    engine.exit(job.id, 3)                # the job is Failed, reason: exited with code 3
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice

from jobworker import spans
from jobworker.archive.cursors import cursor_at, number_at
from jobworker.archive.records import microseconds
from jobworker.errors import (
    InputClosed,
    InvalidRequest,
    JobNotFound,
    JobNotRunning,
    JobRunning,
    JobWorkerError,
    ServiceUnavailable,
)
from jobworker.lifecycle import Ended, Event, Lost, Refused, Started
from jobworker.model import (
    Cause,
    End,
    Gap,
    Grant,
    Job,
    JobId,
    JobQuery,
    KeyBinding,
    Level,
    Page,
    Piece,
    Queued,
    Role,
    SignalRequest,
    Spec,
    Starting,
    StartKey,
    StopRequest,
    Stream,
    Usage,
)
from jobworker.ports import Clock, Listener, OutputReader, Span
from jobworker.supervisor.records import INDEX_ENTRY, PLACE

_OUTPUTS = (Stream.STDOUT, Stream.STDERR)

_FIRST_PID = 10_000_000
"""Above the largest PID of Linux, so that no test can signal a real process with one."""


class FakeClock:
    """A clock that stands still until it is moved (``ports.Clock``)."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time it was set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move it; a negative number moves it back, as an operator may do."""
        self._now += timedelta(seconds=seconds)


class MemoryOutput:
    """Output in memory (``ports.OutputReader``)."""

    def __init__(self, streams: dict[Stream, bytes] | None = None) -> None:
        self._streams: dict[Stream, list[Piece]] = {stream: [] for stream in Stream}
        self._ends = dict.fromkeys(Stream, 0)
        for stream, data in (streams or {}).items():
            self.append(stream, data)

    def append(self, stream: Stream, data: bytes) -> None:
        """Add ``data`` to the end of ``stream``."""
        if data:
            self._streams[stream].append(Piece(self._ends[stream], data))
            self._ends[stream] += len(data)

    def skip(self, stream: Stream, length: int) -> None:
        """Let ``length`` bytes have been written to ``stream`` that are not kept."""
        self._ends[stream] += length

    def end(self, stream: Stream) -> int:
        """The place after the last byte that was written, kept or not."""
        return self._ends[stream]

    def size(self, stream: Stream) -> int:
        """The place after the last byte that is kept."""
        pieces = self._streams[stream]
        return pieces[-1].end if pieces else 0

    def spans(self, stream: Stream) -> tuple[Span, ...]:
        """The places that are kept, in order."""
        return spans.joined((piece.offset, piece.end) for piece in self._streams[stream])

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        """The first kept bytes at ``offset`` or after it; fewer only before a gap or the end."""
        for start, end in self.spans(stream):
            if end > offset:
                begin = max(start, offset)
                kept = [piece for piece in self._streams[stream] if start <= piece.offset < end]
                data = b"".join(piece.data for piece in kept)
                return Piece(begin, data[begin - start :][:length])
        return Piece(offset, b"")

    def gaps(self, stream: Stream) -> tuple[Gap, ...]:
        """What was skipped."""
        places = (*self.spans(stream), (self._ends[stream], self._ends[stream]))
        return spans.between(stream, places)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class _Record:
    number: int
    job: Job
    output: MemoryOutput | None = None


class MemoryArchive:
    """An archive that is gone with its process (``ports.Archive``)."""

    def __init__(self) -> None:
        self._records: dict[JobId, _Record] = {}
        self._numbers = count(1)
        self._accounts: dict[str, int] = {}
        self._bindings: dict[tuple[str, str], KeyBinding] = {}

    async def add(self, job: Job, key: StartKey | None = None) -> None:
        """Record a new job, and with it what its key stands for."""
        if key:
            self._bind(job, key)
        accepted = job if isinstance(job.status, Queued) else replace(job, status=Starting())
        self._records[job.id] = _Record(next(self._numbers), accepted)

    async def admit(self, job_id: JobId) -> None:
        """Record that a queued job is to be started."""
        record = self._records.get(job_id)
        if record and isinstance(record.job.status, Queued):
            record.job = replace(record.job, status=Starting())

    async def withdraw(self, job_id: JobId) -> None:
        """Forget a job that never ran; one that is finished, or unknown, is left alone."""
        record = self._records.get(job_id)
        if record and not record.job.ended:
            del self._records[job_id]
            bound = self._bindings.items()
            self._bindings = {name: each for name, each in bound if each.job_id != job_id}

    async def finish(self, job: Job, output: OutputReader) -> None:
        """Record a job's end together with its output; the second time changes nothing."""
        assert job.ended
        record = self._record(job.id)
        if not record.job.ended:
            record.job, record.output = job, _copy(output)

    async def remove(self, job_id: JobId) -> None:
        """Delete a finished job and its output. Raises ``JobNotFound``, ``JobRunning``."""
        if not self._record(job_id).job.ended:
            raise JobRunning
        del self._records[job_id]

    def _bind(self, job: Job, key: StartKey) -> None:
        if (job.owner, key.text) in self._bindings:
            raise ServiceUnavailable
        acknowledged = isinstance(job.status, Queued)
        self._bindings[job.owner, key.text] = KeyBinding(key.digest, job.id, acknowledged)

    def binding(self, owner: str, key: str) -> KeyBinding | None:
        """What the owner's idempotency key stands for, or None where it is free."""
        return self._bindings.get((owner, key))

    async def release(self, owner: str, key: str) -> None:
        """Let the owner's key stand for nothing again."""
        self._bindings.pop((owner, key), None)

    def get(self, job_id: JobId) -> Job | None:
        """The record of a job: as it ended, or as it was accepted while it has not."""
        record = self._records.get(job_id)
        return record.job if record else None

    def output(self, job_id: JobId) -> OutputReader:
        """The output of a finished job; raises ``JobNotFound`` where there is none."""
        output = self._record(job_id).output
        if output is None:
            raise JobNotFound
        return output

    async def find(self, query: JobQuery) -> Page:
        """The jobs that match, newest first. Raises ``InvalidRequest`` for a bad cursor."""
        if query.limit < 1:
            raise InvalidRequest(f"limit must be at least 1, not {query.limit}", field="limit")
        before = number_at(query.cursor) if query.cursor is not None else None
        records = [*islice(self._matching(query, before), query.limit + 1)]
        page = records[: query.limit]
        more = len(records) > query.limit
        jobs = tuple(record.job for record in page)
        return Page(jobs, cursor_at(page[-1].number) if more else None)

    async def unfinished(self) -> list[Job]:
        """Every job that was added and neither finished nor withdrawn, oldest first."""
        return [record.job for record in self._records.values() if not record.job.ended]

    async def role(self, owner: str) -> Role:  # noqa: ARG002 - the port's
        """That of a plain user: there are no others here."""
        return Role.USER

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever."""
        return self._accounts.setdefault(owner, len(self._accounts))

    async def close(self) -> None:
        """Nothing to do; what was recorded can still be read."""

    def _record(self, job_id: JobId) -> _Record:
        if job_id not in self._records:
            raise JobNotFound
        return self._records[job_id]

    def _matching(self, query: JobQuery, before: int | None) -> Iterator[_Record]:
        for record in reversed(self._records.values()):
            if (before is None or record.number < before) and _matches(record.job, query):
                yield record


def _copy(output: OutputReader) -> MemoryOutput:
    copy = MemoryOutput()
    for stream in Stream:
        for start, end in output.spans(stream):
            copy.skip(stream, start - copy.end(stream))
            copy.append(stream, output.read(stream, start, end - start).data)
    return copy


def _matches(job: Job, query: JobQuery) -> bool:
    return (
        query.owner in (None, job.owner)
        and query.status in (None, job.status.name)
        and query.program in (None, job.spec.program)
        and query.name in (None, job.spec.name)
        and query.labels.items() <= job.spec.labels.items()
        and (query.since is None or query.since <= job.created_at)
        and (query.until is None or job.created_at < query.until)
        and job.id.startswith(query.id_prefix or "")
    )


@dataclass
class _FakeJob:
    started: Started
    account: int
    grant: Grant
    output: MemoryOutput = field(default_factory=MemoryOutput)
    last: Ended | Lost | None = None
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class FakeInput:
    """Keeps what a job is fed (``ports.InputWriter``)."""

    def __init__(self, fed: bytearray) -> None:
        self._fed = fed
        self.taken = 0

    async def write(self, data: bytes) -> None:
        """Take it all."""
        self.taken += len(data)
        self._fed += data

    async def resize(self, rows: int, cols: int) -> None:
        """Take no note."""

    def close(self) -> None:
        """Nothing is held open."""


class FakeEngine:
    """An engine whose jobs do what the test says (``ports.Engine``).

    A job that is handed over counts as started at once. ``stops`` holds every stop that
    was asked, ``signals`` every signal, ``extensions`` every change of a time limit,
    ``inputs`` what jobs were given or fed; where ``obeys`` is set, as it is at first, a stop
    ends the job. ``hidden`` is what ``blind_spot`` answers, ``unavailable`` what ``check``
    raises. What happens while the engine is closed is told by ``recover``, as after a restart.
    """

    def __init__(
        self, *, clock: Clock | None = None, containment: Level = "basic", node: str = "fake"
    ) -> None:
        self.containment: Level = containment
        self.node = node
        self.obeys = True
        self.hidden: str | None = None
        self.unavailable: JobWorkerError | None = None
        self.stops: list[tuple[JobId, StopRequest]] = []
        self.signals: list[tuple[JobId, SignalRequest]] = []
        self.extensions: list[tuple[JobId, float, str]] = []
        self.inputs: dict[JobId, bytearray] = {}
        self.inputs_over: set[JobId] = set()
        self._clock = clock or FakeClock()
        self._jobs: dict[JobId, _FakeJob] = {}
        self._refusal: JobWorkerError | None = None
        self._listener: Listener | None = None
        self._pids = count(_FIRST_PID)

    # What the test says.

    def refuse_next(self, error: JobWorkerError) -> None:
        """Let the next start fail with ``error``, as where there is no such program."""
        self._refusal = error

    def write(self, job_id: JobId, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Let the job write ``data``; the index gets its entry."""
        job = self._running(job_id)
        job.output.append(stream, data)
        nanoseconds = microseconds(self._clock.now()) * 1000
        job.output.append(Stream.INDEX, INDEX_ENTRY.pack(nanoseconds, stream.value, len(data)))
        while job.waiting:
            waiter = job.waiting.pop()
            if not waiter.done():
                waiter.set_result(None)

    def skip(self, job_id: JobId, length: int, stream: Stream = Stream.STDOUT) -> None:
        """Let the job write ``length`` bytes that are not kept, as past its output limit."""
        output = self._running(job_id).output
        output.skip(stream, length)
        place = INDEX_ENTRY.pack(output.end(stream), PLACE + stream.value, 0)
        output.append(Stream.INDEX, place)

    def exit(self, job_id: JobId, code: int = 0) -> None:
        """Let the program exit with ``code``."""
        self._tell(job_id, self._end(job_id, Cause.EXITED, exit_code=code))

    def kill(self, job_id: JobId, signal: str = "SIGKILL") -> None:
        """Let a signal end the program."""
        self._tell(job_id, self._end(job_id, Cause.SIGNALED, signal=signal))

    def lose(self, job_id: JobId, why: str = "the supervisor is gone") -> None:
        """Let the job vanish without an exit record."""
        event = self._running(job_id).last = Lost(why, self._clock.now())
        self._tell(job_id, event)

    def account_of(self, job_id: JobId) -> int:
        """The account that the job was started as."""
        return self._jobs[job_id].account

    def grant_of(self, job_id: JobId) -> Grant:
        """What the policy had made of the job's spec."""
        return self._jobs[job_id].grant

    # What the manager calls.

    async def open(self, listener: Listener) -> None:
        """From now on events go to ``listener``."""
        self._listener = listener

    def check(self, spec: Spec) -> None:  # noqa: ARG002 - the port's
        """Raise what ``unavailable`` was set to."""
        if self.unavailable:
            raise self.unavailable

    def blind_spot(self, spec: Spec, account: int) -> str | None:  # noqa: ARG002 - the port's
        """What ``hidden`` was set to."""
        return self.hidden

    async def keep_input(self, job_id: JobId, data: bytes) -> None:
        """Keep it in ``inputs``."""
        self.inputs[job_id] = bytearray(data)

    async def drop_input(self, job_id: JobId) -> None:
        """Forget it."""
        self.inputs.pop(job_id, None)

    async def sweep_inputs(self, known: Collection[JobId]) -> None:
        """Forget that of jobs that are not known."""
        self.inputs = {job_id: data for job_id, data in self.inputs.items() if job_id in known}

    def open_input(self, job: Job) -> FakeInput:
        """Add to ``inputs``; raises ``InputClosed`` where it has been ended."""
        if job.id in self.inputs_over:
            raise InputClosed("the end of the job's input has been sent already")
        return FakeInput(self.inputs.setdefault(job.id, bytearray()))

    async def end_input(self, job_id: JobId) -> None:
        """Note it in ``inputs_over``."""
        self.inputs_over.add(job_id)

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Take the job as started, unless ``refuse_next`` was called."""
        event: Event
        if self._refusal:
            event, self._refusal = Refused(self._refusal, self._clock.now()), None
        else:
            event = Started(next(self._pids), self._clock.now())
            self._jobs[job.id] = _FakeJob(event, account, grant)
        self._tell_soon(job.id, event)

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Note the stop; the job ends if the engine obeys and it has not ended before."""
        self.stops.append((job_id, stop))
        if self.obeys and self._jobs[job_id].last is None:
            end = self._end(job_id, Cause.STOPPED, signal="SIGKILL", stopped_by=stop.by)
            self._tell_soon(job_id, end)

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Note the signal; what comes of it is up to the test."""
        if self._jobs[job_id].last is not None:
            raise JobNotRunning
        self.signals.append((job_id, request))

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Note the extension."""
        self.extensions.append((job_id, timeout, by))

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Tell where each of ``jobs`` stands; one that was never started here is lost."""
        for job in jobs:
            known = self._jobs.get(job.id)
            if known is None:
                why = "the engine knows nothing of it"
                self._tell_soon(job.id, Lost(why, self._clock.now()))
                continue
            self._tell_soon(job.id, known.started)
            if known.last:
                self._tell_soon(job.id, known.last)

    def output(self, job_id: JobId) -> OutputReader:
        """What was given to ``write``; raises ``FileNotFoundError`` where there is no job."""
        if job_id not in self._jobs:
            raise FileNotFoundError(f"{job_id} was never started, or has been discarded")
        return self._jobs[job_id].output

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """Done when the job writes, or ends."""
        if job_id not in self._jobs:
            raise FileNotFoundError(f"{job_id} was never started, or has been discarded")
        waiter = asyncio.get_running_loop().create_future()
        self._jobs[job_id].waiting.append(waiter)
        return waiter

    async def discard(self, job_id: JobId) -> None:
        """Forget an ended job."""
        self._jobs.pop(job_id, None)

    async def close(self) -> None:
        """Stop telling; jobs go on."""
        self._listener = None

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
        out, err = (spans.length(job.output.spans(stream)) for stream in _OUTPUTS)
        gaps = [gap for stream in _OUTPUTS for gap in job.output.gaps(stream)]
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
        return job.last

    def _running(self, job_id: JobId) -> _FakeJob:
        job = self._jobs[job_id]
        assert job.last is None, f"{job_id} has ended"
        return job

    def _tell(self, job_id: JobId, event: Event) -> None:
        if self._listener:
            self._listener(job_id, event)

    def _tell_soon(self, job_id: JobId, event: Event) -> None:
        """Tell it after the call that caused it has returned, as a real engine does."""
        asyncio.get_running_loop().call_soon(self._tell, job_id, event)
