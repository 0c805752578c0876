"""The server's answers as the client reads them: plain dictionaries, typed.

For type checkers only. ``api/views.py`` is the definition, and a test holds these types
to it field by field; importing msgspec would cost each ``jobctl`` call 29 ms.
"""

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, final

from jobworker.limits import LIMITS


class RawArgument(TypedDict):
    """An argument whose bytes are not UTF-8."""

    base64: str


class IdAnswer(TypedDict):
    """The job that was acted on."""

    id: str
    error: None
    hint: NotRequired[str]


class UsageView(TypedDict):
    """The resources that the job used: seconds, bytes."""

    cpuSeconds: float
    peakMemory: int
    stdoutBytes: int
    stderrBytes: int
    droppedBytes: int


if TYPE_CHECKING:
    from jobworker.limits import LimitsView as LimitsView  # noqa: PLC0414 - exported
else:
    LimitsView = TypedDict(
        "LimitsView", {limit.field: limit.kind.number | None for limit in LIMITS}
    )


class GapView(TypedDict):
    """Bytes of a stream, from ``start`` up to ``end``, that were written and not kept."""

    stream: Literal["stdout", "stderr"]
    start: int
    end: int


class SignalAnswer(TypedDict):
    """The job whose program was sent the signal of that name."""

    id: str
    signal: str
    error: None


class ExtendAnswer(TypedDict):
    """The job whose deadline was moved, and where it is now."""

    id: str
    deadline: str
    error: None


class CanStartAnswer(TypedDict):
    """The decision of the policy: which rule decides, and what it imposes."""

    allowed: bool
    rule: str
    reason: str
    runAs: str | None
    network: bool
    limits: LimitsView
    error: None


class JobView(TypedDict):
    """A job as its owner sees it; times are RFC 3339 in UTC."""

    id: str
    status: Literal["Queued", "Running", "Completed", "Failed", "Stopped"]
    exitCode: int | None
    error: None
    reason: str | None
    cause: str | None
    signal: str | None
    owner: str
    program: str
    args: list[str | RawArgument]
    argsCut: NotRequired[Literal[True]]
    name: str | None
    labels: dict[str, str]
    pid: int | None
    createdAt: str
    startedAt: str | None
    finishedAt: str | None
    usage: UsageView | None
    limits: LimitsView
    deadline: str | None
    evidence: dict[str, str | int | float] | None
    gaps: list[GapView]
    runAs: str | None
    network: bool
    containment: str
    input: Literal["given", "pipe", "terminal"] | None
    node: str


class StartedJob(JobView):
    """A job that was started, when the wait for its end was over."""

    hint: NotRequired[str]


class JobList(TypedDict):
    """One page of jobs, newest first."""

    jobs: list[JobView]
    next: str | None
    error: None


class LineGapView(GapView):
    """A gap among the lines: ``line`` is how many lines of the stream stand before it."""

    line: int
    leftOut: NotRequired[Literal[True]]


class OutputAnswer(TypedDict):
    """Both streams by lines, without line ends; no line has bytes from both sides of a gap."""

    id: str
    stdout: list[str]
    stderr: list[str]
    gaps: NotRequired[list[LineGapView]]
    error: None


@final  # so that a key tells them apart
class OutputFrame(TypedDict):
    """Bytes that a job has written, as text, or as base64 where they are not UTF-8."""

    seq: int
    time: str
    stream: Literal["stdout", "stderr"]
    data: str
    encoding: NotRequired[Literal["base64"]]


@final
class GapFrame(TypedDict):
    """Bytes that a job has written and that are not kept."""

    seq: int
    time: str
    stream: Literal["stdout", "stderr"]
    data: Literal[""]
    dropped: int


class EndFrame(TypedDict):
    """The last frame of a job that has ended, and how it ended."""

    seq: int
    time: str
    stream: Literal["end"]
    data: Literal[""]
    status: Literal["Queued", "Running", "Completed", "Failed", "Stopped"]
    exitCode: int | None
    signal: str | None
    cause: str | None
    reason: str | None


class ErrorAnswer(TypedDict):
    """Every answer that is not a success."""

    error: str
    code: str
    field: NotRequired[str]
    hint: NotRequired[str]


class MeAnswer(TypedDict):
    """The user that the token belongs to."""

    name: str
    role: Literal["user", "admin"]
    error: None
