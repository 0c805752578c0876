"""What a job is: its ID, what was asked for, and what became of it.

Values only: everything here is immutable, and a status carries the data that
belongs to it. Of ours, only how sizes are written is imported.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import ClassVar, Literal

from jobworker.units import size_text

_JOB_ID = re.compile(
    r"j-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII
)


class JobId(str):
    """``j-`` and a lower-case UUIDv4; safe as a file name by its form."""

    __slots__ = ()

    PATTERN: ClassVar[str] = f"^{_JOB_ID.pattern}$"
    """Its form, as a regular expression of JSON Schema."""

    @classmethod
    def new(cls) -> JobId:
        """Make an ID that cannot be guessed (122 random bits)."""
        return cls(f"j-{uuid.uuid4()}")

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Take ``text`` as an ID; raises ``ValueError`` unless it has exactly the form."""
        if not _JOB_ID.fullmatch(text):
            raise ValueError(f"not a job ID: {text[:80]!r}")
        return cls(text)


class Role(StrEnum):
    """What a user may do: own jobs only, or everything."""

    USER = "user"
    ADMIN = "admin"


class StatusName(StrEnum):
    """The five statuses that users see; the last three are final."""

    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


class Cause(StrEnum):
    """The one cause of a job's end."""

    EXITED = "exited"
    SIGNALED = "signaled"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output-limit"
    START_FAILED = "start-failed"
    LOST = "lost"


class Stream(Enum):
    """An output stream, or the index that tells in which order both came.

    The value is the stream's number in the index and in the archive.
    """

    INDEX = 0
    STDOUT = 1
    STDERR = 2

    @property
    def file_name(self) -> str:
        """Name of its file in the spool."""
        return self.name.lower()


Level = Literal["full", "namespaces", "uid", "basic"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use at most; None where nothing is limited.

    ``memory``, ``output`` and ``tmp`` in bytes, ``timeout`` in seconds from the program's
    start, ``cpus`` in CPUs (0.5 is half of one), ``pids`` in processes and threads at once,
    ``open_files`` for each process, ``nice`` as in nice(1) from 0 to 19.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    open_files: int | None = None
    output: int | None = None
    tmp: int | None = None
    nice: int | None = None
    timeout: float | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Input:
    """Where a program's standard input comes from; without any it reads nothing.

    ``given`` came with the start, all ``size`` bytes of it, which ``sha256`` tells from
    others. A ``pipe``, or a ``terminal`` of so many rows and columns at first, is fed while
    the job runs.
    """

    kind: Literal["given", "pipe", "terminal"]
    size: int = 0
    sha256: str = ""
    rows: int = 0
    cols: int = 0

    @classmethod
    def of(cls, data: bytes) -> Input:
        """That which is given whole."""
        return cls("given", len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Spec:
    """What was asked for; immutable once accepted.

    Text that has to reach the program as bytes that are not UTF-8 holds them as
    surrogate escapes (PEP 383). ``grace`` is how many seconds after SIGTERM SIGKILL comes
    once the time is over; ``run_as`` the account of the machine to run as, where it is not
    the owner's own; without ``network`` there is only a loopback of the job's own;
    ``containment`` is the least that will do; ``input`` says where standard input comes from.
    Once the policy has granted it, limits, network and account are those in force, and
    ``imposed`` names those that nobody had asked for.
    """

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    grace: float = 0.0
    network: bool = True
    run_as: str | None = None
    containment: Level | None = None
    input: Input | None = None
    imposed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartKey:
    """An idempotency key, and the digest of the request that it came with."""

    text: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """What an owner's idempotency key stands for: a request, by its digest, and its job.

    ``acknowledged`` where the job had to queue, so that its ID was answered before it ran.
    """

    digest: bytes
    job_id: JobId
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Executable:
    """One state of one file that was checked: executed is this, or nothing.

    ``path`` is canonical. A file that is written to, replaced, or given away has another
    identity: times in nanoseconds, ``ctime_ns`` that of the last change of any kind,
    which nobody can set.
    """

    path: str
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the machine, with all groups that it is in."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


OnOutputLimit = Literal["truncate", "kill"]
"""What becomes of a job that writes more than its limit: the rest goes, or the job does."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the policy made of a spec: how the job is run, whatever was asked for.

    ``rule`` names the rule that decided. ``limits`` are those in force. ``run_as`` is None
    where the job runs as its owner's own account, ``executable`` where any program may
    be run, so that it need not have been checked.
    """

    rule: str = "default"
    limits: Limits = NO_LIMITS
    network: bool = True
    run_as: Account | None = None
    executable: Executable | None = None
    on_output_limit: OnOutputLimit = "truncate"


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Who asked for a stop, when, and how many seconds after SIGTERM SIGKILL comes.

    A grace of 0 means SIGKILL at once.
    """

    by: str
    at: datetime
    grace: float = 0.0


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """Who sends a signal of that number (signal(7)) to a job's program, and when."""

    number: int
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job used: CPU seconds, peak memory of its largest process, bytes of output.

    Peak memory is ``ru_maxrss`` (getrusage(2)): it includes the moment before exec,
    in which the process still is a copy of the supervisor.
    """

    cpu_seconds: float = 0.0
    peak_memory: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    dropped_bytes: int = 0


NOT_JOBD = "not jobd"
"""As the sender of a signal: it came from the job itself, the kernel or the machine."""

Fact = str | int | float
"""One piece of evidence: a name, a time (RFC 3339), a number of bytes or seconds."""


def time_text(moment: datetime) -> str:
    """A moment in UTC as the API writes it: ``2026-01-31T12:00:00Z`` (RFC 3339)."""
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes ``[start, end)`` of a stream that the job wrote and that were not kept."""

    stream: Stream
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class End:
    """How and when a job ended, as the supervisor recorded it.

    ``exit_code`` is the program's own and None when a signal ended it; ``signal``
    names that signal. ``detail`` is the end of the sentence for ``lost`` and
    ``start-failed``, and what may explain a failed program otherwise. ``evidence`` is what
    the cause was told by: for ``oom`` the limit and the peak, for ``timeout`` the deadline.
    """

    cause: Cause
    finished_at: datetime
    started_at: datetime | None = None
    exit_code: int | None = None
    signal: str | None = None
    stopped_by: str | None = None
    detail: str | None = None
    usage: Usage = Usage()
    evidence: Mapping[str, Fact] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    @property
    def is_silent(self) -> bool:
        """Whether it is known that there is no output."""
        nothing = self.usage.stdout_bytes == self.usage.stderr_bytes == 0
        return nothing and self.cause is not Cause.LOST


@dataclass(frozen=True, slots=True)
class Queued:
    """Accepted and recorded; it starts once there is room for it."""

    name: ClassVar[StatusName] = StatusName.QUEUED


@dataclass(frozen=True, slots=True)
class Starting:
    """Accepted and recorded; the program's exec has not been confirmed yet.

    Where the start was ``acknowledged`` before, because the job had to queue, a program
    that cannot be executed is a failed job; otherwise the start is refused and there
    never was one.
    """

    acknowledged: bool = False
    name: ClassVar[StatusName] = StatusName.RUNNING


@dataclass(frozen=True, slots=True)
class Running:
    """The program was executed and has not ended; it may run until ``deadline``."""

    started_at: datetime
    pid: int
    deadline: datetime | None = None
    name: ClassVar[StatusName] = StatusName.RUNNING


@dataclass(frozen=True, slots=True)
class Stopping:
    """A stop was asked; processes of the job may be left.

    ``acknowledged`` as in ``Starting``.
    """

    stop: StopRequest
    started_at: datetime | None = None
    pid: int | None = None
    acknowledged: bool = True
    name: ClassVar[StatusName] = StatusName.RUNNING


@dataclass(frozen=True, slots=True)
class Completed:
    """The program exited with code 0."""

    end: End
    name: ClassVar[StatusName] = StatusName.COMPLETED


@dataclass(frozen=True, slots=True)
class Failed:
    """The program failed, was killed, or nothing is known of its end."""

    end: End
    name: ClassVar[StatusName] = StatusName.FAILED


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job ended because somebody asked for it."""

    end: End
    name: ClassVar[StatusName] = StatusName.STOPPED


Live = Queued | Starting | Running | Stopping
Final = Completed | Failed | Stopped
Status = Live | Final


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one program."""

    id: JobId
    owner: str
    spec: Spec
    status: Status
    created_at: datetime
    containment: Level
    node: str

    @property
    def end(self) -> End | None:
        """How it ended, or None as long as it has not."""
        return self.status.end if isinstance(self.status, Final) else None

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return isinstance(self.status, Final)

    @property
    def exit_code(self) -> int | None:
        """The program's own exit code, where there is one."""
        return self.end.exit_code if self.end else None

    @property
    def pid(self) -> int | None:
        """The program's PID as the server's machine sees it, while it runs."""
        return self.status.pid if isinstance(self.status, Running | Stopping) else None

    @property
    def started_at(self) -> datetime | None:
        """When the program's exec succeeded."""
        if self.end:
            return self.end.started_at
        return self.status.started_at if isinstance(self.status, Running | Stopping) else None

    @property
    def deadline(self) -> datetime | None:
        """When the job will have timed out, while it runs and has a time limit."""
        return self.status.deadline if isinstance(self.status, Running) else None

    @property
    def reason(self) -> str | None:
        """One human sentence that goes with the status, or None where it says it all."""
        return explain(self.end) if self.end else None


def explain(end: End) -> str | None:
    """Say in one sentence why a job ended; None for a plain success."""
    if end.cause is Cause.EXITED and end.exit_code == 0:
        return None
    sentence = _SENTENCES[end.cause](end)
    if end.detail and end.cause in (Cause.EXITED, Cause.SIGNALED):
        return f"{sentence} ({end.detail})"
    return sentence


def _sender(end: End) -> str:
    sender = end.evidence.get("sender", NOT_JOBD)
    return "" if sender == NOT_JOBD else f", sent by {sender}"


def _number(end: End, name: str) -> float:
    return float(end.evidence[name])


_SENTENCES: dict[Cause, Callable[[End], str]] = {
    Cause.EXITED: lambda end: f"exited with code {end.exit_code}",
    Cause.SIGNALED: lambda end: f"killed by {end.signal}{_sender(end)}",
    Cause.STOPPED: lambda end: f"stopped by {end.stopped_by}",
    Cause.TIMEOUT: lambda end: f"timed out after {_number(end, 'timeout'):g} s",
    Cause.OOM: lambda end: f"out of memory (limit {size_text(_number(end, 'memoryLimit'))})",
    Cause.OUTPUT_LIMIT: lambda end: (
        f"wrote more than {size_text(_number(end, 'outputLimit'))} of output"
    ),
    Cause.START_FAILED: lambda end: f"could not be started: {end.detail}",
    Cause.LOST: lambda end: f"lost: {end.detail}",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a stream, and the place of the first: how many the job wrote before it."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The place after the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Output:
    """What is kept of all that a job has written so far, byte for byte, and what is not."""

    stdout: bytes
    stderr: bytes
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list; every condition that is set must hold. Newest first.

    ``program`` and ``name`` must match whole; ``since`` and ``until`` bound the time
    of creation (``since`` included, ``until`` not). ``cursor`` is the ``next`` of the
    page before.
    """

    owner: str | None = None
    status: StatusName | None = None
    program: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    id_prefix: str | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next`` is the cursor of the page after, or None."""

    jobs: tuple[Job, ...]
    next: str | None
