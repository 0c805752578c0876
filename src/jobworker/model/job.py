"""A job: its ID, its status with the data that belong to it, and its end."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from jobworker.model.output import Gap
from jobworker.model.requests import StopRequest
from jobworker.model.spec import Level, Spec, Terms
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
        """Makes an ID that cannot be guessed (122 random bits)."""
        return cls(f"j-{uuid.uuid4()}")

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Takes ``text`` as an ID; raises ``ValueError`` unless it has exactly the form."""
        if not _JOB_ID.fullmatch(text):
            raise ValueError(f"not a job ID: {text[:80]!r}")
        return cls(text)


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


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a job: CPU seconds, peak memory of its largest process, bytes of output.

    Peak memory is ``ru_maxrss`` (getrusage(2)): it includes the moment before exec,
    in which the process still is a copy of the supervisor.
    """

    cpu_seconds: float = 0.0
    peak_memory: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    dropped_bytes: int = 0


NOT_JOBD = "not jobd"
"""The sender of a signal that came from the job itself, the kernel or the machine."""

Fact = str | int | float
"""One piece of evidence: a name, a time (RFC 3339), a number of bytes or seconds."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a job, as the supervisor recorded it.

    ``exit_code`` is the program's own and None when a signal ended it; ``signal``
    names that signal. ``detail`` is the end of the sentence for ``lost`` and
    ``start-failed``, and a possible explanation of a failed program otherwise. ``evidence``
    has the grounds for the cause: for ``oom`` the limit and the peak, for ``timeout`` the
    deadline.
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
    """A job that is accepted and recorded; it starts once there is room for it."""

    name: ClassVar[StatusName] = StatusName.QUEUED


@dataclass(frozen=True, slots=True)
class Starting:
    """A job that is accepted and recorded; its program's exec has not been confirmed yet.

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

    ``acknowledged`` is that of ``Starting``.
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
    """The job ended because a user asked for it."""

    end: End
    name: ClassVar[StatusName] = StatusName.STOPPED


Live = Queued | Starting | Running | Stopping
"""The statuses of a job that has not ended."""

Final = Completed | Failed | Stopped
"""The statuses of a job that has ended: each carries its ``end``."""

Status = Live | Final
"""The status of a job: users see its ``name``; the other fields are the data that belong to it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one program: what was asked for (``spec``) and what was granted (``terms``).

    ``cut`` names the fields of the spec that are not whole here, as they are long (``brief``).
    """

    id: JobId
    owner: str
    spec: Spec
    terms: Terms
    status: Status
    created_at: datetime
    containment: Level
    node: str
    cut: tuple[str, ...] = ()

    @property
    def end(self) -> End | None:
        """The job's end, or None as long as it has not ended."""
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
        """The moment at which the program's exec succeeded."""
        if self.end:
            return self.end.started_at
        return self.status.started_at if isinstance(self.status, Running | Stopping) else None

    @property
    def deadline(self) -> datetime | None:
        """The moment at which the job times out, while it runs and has a time limit."""
        return self.status.deadline if isinstance(self.status, Running) else None

    @property
    def output_kept(self) -> int:
        """Bytes of output that are kept of it, once it has ended; 0 as long as it has not."""
        if self.end is None:
            return 0
        return self.end.usage.stdout_bytes + self.end.usage.stderr_bytes

    @property
    def reason(self) -> str | None:
        """One human sentence that goes with the status, or None where the status says it all."""
        return explain(self.end) if self.end else None


def explain(end: End) -> str | None:
    """One sentence on why a job ended; None for a plain success."""
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


def _out_of_memory(end: End) -> str:
    """Tells whose limit it was: the kernel does not say which of those that share one it killed."""
    if "memoryLimit" in end.evidence:
        return f"out of memory (limit {size_text(_number(end, 'memoryLimit'))})"
    limit = size_text(_number(end, "memoryLimitOfAll"))
    return f"killed by SIGKILL when all jobs together were out of memory (limit {limit})"


_SENTENCES: dict[Cause, Callable[[End], str]] = {
    Cause.EXITED: lambda end: f"exited with code {end.exit_code}",
    Cause.SIGNALED: lambda end: f"killed by {end.signal}{_sender(end)}",
    Cause.STOPPED: lambda end: f"stopped by {end.stopped_by}",
    Cause.TIMEOUT: lambda end: f"timed out after {_number(end, 'timeout'):g} s",
    Cause.OOM: _out_of_memory,
    Cause.OUTPUT_LIMIT: lambda end: (
        f"wrote more than {size_text(_number(end, 'outputLimit'))} of output"
    ),
    Cause.START_FAILED: lambda end: f"could not be started: {end.detail}",
    Cause.LOST: lambda end: f"lost: {end.detail}",
}
