"""What a job is: its ID, what was asked for, and what became of it.

Values only: everything here is immutable, and a status carries the data that
belongs to it. Nothing of ours is imported.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import ClassVar, Literal

_JOB_ID = re.compile(
    r"j-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII
)


class JobId(str):
    """``j-`` and a lower-case UUIDv4; safe as a file name by its form."""

    __slots__ = ()

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
class Spec:
    """What was asked for; immutable once accepted.

    Text that has to reach the program as bytes that are not UTF-8 holds them as
    surrogate escapes (PEP 383).
    """

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Who asked for a stop, when, and how many seconds after SIGTERM SIGKILL comes.

    A grace of 0 means SIGKILL at once.
    """

    by: str
    at: datetime
    grace: float = 0.0


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


@dataclass(frozen=True, slots=True)
class End:
    """How and when a job ended, as the supervisor recorded it.

    ``exit_code`` is the program's own and None when a signal ended it; ``signal``
    names that signal. ``detail`` is the end of the sentence for ``lost``, and what
    may explain a failed program otherwise.
    """

    cause: Cause
    finished_at: datetime
    started_at: datetime | None = None
    exit_code: int | None = None
    signal: str | None = None
    stopped_by: str | None = None
    detail: str | None = None
    usage: Usage = Usage()

    @property
    def is_silent(self) -> bool:
        """Whether it is known that there is no output."""
        nothing = self.usage.stdout_bytes == self.usage.stderr_bytes == 0
        return nothing and self.cause is not Cause.LOST


@dataclass(frozen=True, slots=True)
class Starting:
    """Accepted and recorded; the program's exec has not been confirmed yet."""

    name: ClassVar[StatusName] = StatusName.RUNNING


@dataclass(frozen=True, slots=True)
class Running:
    """The program was executed and has not ended."""

    started_at: datetime
    pid: int
    name: ClassVar[StatusName] = StatusName.RUNNING


@dataclass(frozen=True, slots=True)
class Stopping:
    """A stop was asked; processes of the job may be left."""

    stop: StopRequest
    started_at: datetime | None = None
    pid: int | None = None
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


Live = Starting | Running | Stopping
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
    def reason(self) -> str | None:
        """One human sentence that goes with the status, or None where it says it all."""
        return explain(self.end) if self.end else None


def explain(end: End) -> str | None:
    """Say in one sentence why a job ended; None for a plain success."""
    match end:
        case End(cause=Cause.LOST):
            return f"lost: {end.detail}"
        case End(cause=Cause.STOPPED):
            return f"stopped by {end.stopped_by}"
        case End(cause=Cause.SIGNALED):
            sentence = f"killed by {end.signal}"
        case End(exit_code=0):
            return None
        case _:
            sentence = f"exited with code {end.exit_code}"
    return f"{sentence} ({end.detail})" if end.detail else sentence


@dataclass(frozen=True, slots=True)
class Output:
    """What a job has written so far, byte for byte."""

    stdout: bytes
    stderr: bytes


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
