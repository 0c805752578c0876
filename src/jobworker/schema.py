"""The bodies of the HTTP API: what is sent and what is answered.

One definition each: the server validates with it, the OpenAPI document is made from
it, and a test holds the client's reading of the answers to it. Field names are
camelCase on the wire.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from jobworker import model
from jobworker.model import Cause, Level, Role, StatusName

Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC")]

MAX_BODY = 8 * 1024 * 1024
"""Most bytes of a request body: exec takes 2 MiB of arguments, JSON may double them."""

MAX_WAIT = 300.0
"""Most seconds that one ``?wait=`` holds a connection; a client asks again."""

MAX_PAGE = 1000
"""Most jobs on one page of a list."""

Label = Annotated[str, Meta(max_length=256)]
MAX_SECONDS = 10 * 365 * 86_400.0
"""Most seconds of a time limit: ten years."""

Grace = Annotated[float, Meta(ge=0, le=86_400, description="seconds from SIGTERM to SIGKILL")]


class _Body(Struct, rename="camel", frozen=True, kw_only=True):
    """Base of what is answered."""


class _Request(Struct, rename="camel", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent: a field that is not known is refused, never ignored."""


class RawArgument(_Request, frozen=True):
    """An argument whose bytes are not UTF-8, which JSON text cannot carry."""

    base64: str


Argument = str | int | float | RawArgument


Seconds = Annotated[float, Meta(ge=0.001, le=MAX_SECONDS, description="seconds")]
Bytes = Annotated[int, Meta(ge=1, le=2**60, description="bytes")]


class LimitsRequest(_Request, frozen=True):
    """What the job may use at most; what is left out is the role's default."""

    memory: Bytes | None = None
    cpus: (
        Annotated[float, Meta(ge=0.01, le=1024, description="CPUs; 0.5 is half of one")] | None
    ) = None
    pids: Annotated[int, Meta(ge=1, le=2**22, description="processes and threads")] | None = None
    open_files: Annotated[int, Meta(ge=8, le=2**20, description="for each process")] | None = None
    output: Bytes | None = None
    tmp: Bytes | None = None
    nice: Annotated[int, Meta(ge=0, le=19)] | None = None


class StartRequest(_Request, frozen=True):
    """``POST /jobs/start``: the program by absolute path, and how to run it."""

    program: Annotated[str, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Annotated[list[Argument], Meta(examples=[["5"]])] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    name: Annotated[str, Meta(max_length=256)] | None = None
    labels: dict[Label, Label] = {}
    timeout: Seconds | None = None
    grace: Grace = 0.0
    limits: LimitsRequest = LimitsRequest()
    run_as: Annotated[str, Meta(max_length=256, description="account of the machine")] | None = None
    network: bool = True
    containment: Annotated[Level, Meta(description="the least that will do")] | None = None


class ExtendRequest(_Request, frozen=True):
    """``POST /jobs/{id}/extend``: how many seconds more the job may run."""

    seconds: Seconds


class CanStartRequest(_Request, frozen=True):
    """``POST /policy/can-start``: would this start be allowed, and by which rule."""

    program: Annotated[str, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: list[Argument] = []
    env: dict[str, str] = {}
    run_as: Annotated[str, Meta(max_length=256)] | None = None
    network: bool = True


class StopBody(_Request, frozen=True):
    """``POST /jobs/{id}/stop``: no body, or how long the job has to end by itself."""

    grace: Grace = 0.0


class SignalBody(_Request, frozen=True):
    """``POST /jobs/{id}/signal``: which signal its program is to get."""

    signal: Annotated[
        str | int,
        Meta(description="a name with or without SIG, or a number", examples=["HUP", "SIGHUP", 1]),
    ]


class RerunBody(_Request, frozen=True):
    """``POST /jobs/{id}/rerun``: no body, or an empty object."""


class IdAnswer(_Body, frozen=True):
    """The job that was acted on."""

    id: str
    error: None = None
    hint: str | UnsetType = UNSET


class SignalAnswer(_Body, frozen=True):
    """The job whose program was sent the signal of that name."""

    id: str
    signal: Annotated[str, Meta(examples=["SIGHUP"])]
    error: None = None


class ExtendAnswer(_Body, frozen=True):
    """The job whose deadline was moved, and where it is now."""

    id: str
    deadline: datetime
    error: None = None


class CanStartAnswer(_Body, frozen=True, kw_only=True):
    """What the policy says: which rule decides, and what it imposes."""

    allowed: bool
    rule: Annotated[str, Meta(description="the rule that decides, or `default`")]
    reason: str
    run_as: str | None
    network: bool
    limits: LimitsView
    error: None = None


class LimitsView(_Body, frozen=True, kw_only=True):
    """The limits in force; null where nothing is limited."""

    memory: int | None
    cpus: float | None
    pids: int | None
    open_files: int | None
    output: int | None
    tmp: int | None
    nice: int | None
    timeout: float | None


class GapView(_Body, frozen=True):
    """Bytes of a stream, from ``start`` up to ``end``, that were written and not kept."""

    stream: Literal["stdout", "stderr"]
    start: int
    end: int


class UsageView(_Body, frozen=True):
    """What the job used: seconds, bytes."""

    cpu_seconds: float
    peak_memory: int
    stdout_bytes: int
    stderr_bytes: int
    dropped_bytes: int


class JobView(_Body, frozen=True, kw_only=True):
    """A job as its owner sees it."""

    id: str
    status: StatusName
    exit_code: int | None
    error: None = None
    reason: str | None
    cause: Cause | None
    signal: str | None
    owner: str
    program: str
    args: list[str | RawArgument]
    name: str | None
    labels: dict[str, str]
    pid: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    usage: UsageView | None
    limits: LimitsView
    deadline: datetime | None
    evidence: dict[str, str | int | float] | None
    gaps: list[GapView]
    run_as: str | None
    network: bool
    containment: Level
    node: str


class JobList(_Body, frozen=True, kw_only=True):
    """One page of jobs, newest first; ``next`` is the cursor of the page after."""

    jobs: list[JobView]
    next: str | None
    error: None = None


class LineGapView(GapView, frozen=True):
    """A gap among the lines: ``line`` is how many lines of the stream stand before it."""

    line: int


class OutputAnswer(_Body, frozen=True):
    """Both streams by lines, without line ends; what is not UTF-8 as U+FFFD.

    No line has bytes from both sides of a gap. Where all is kept there are no ``gaps``, and
    the body is that of the core contract.
    """

    id: str
    stdout: list[str]
    stderr: list[str]
    error: None = None
    gaps: list[LineGapView] | UnsetType = UNSET


class OutputFrame(_Body, frozen=True, kw_only=True):
    """Bytes that a job has written, in the order in which they came.

    ``after=`` the ``seq`` of a frame goes on with the byte that follows it.
    """

    seq: Annotated[
        int, Meta(ge=0, description="bytes of both streams up to and with these", examples=[6])
    ]
    time: Annotated[Time, Meta(description="when they came")]
    stream: Literal["stdout", "stderr"]
    data: Annotated[str, Meta(description="the bytes, as text", examples=["hello\n"])]
    encoding: Annotated[
        Literal["base64"] | UnsetType,
        Meta(description="of `data`, where the bytes are not UTF-8; else left out"),
    ] = UNSET


class GapFrame(_Body, frozen=True, kw_only=True):
    """Bytes that a job has written and that are not kept; ``seq`` counts them too."""

    seq: Annotated[int, Meta(ge=0, description="bytes of both streams up to and with these")]
    time: Annotated[Time, Meta(description="when the last of them came")]
    stream: Literal["stdout", "stderr"]
    data: Literal[""] = ""
    dropped: Annotated[int, Meta(ge=1, description="bytes", examples=[125_829_120])]


class EndFrame(_Body, frozen=True, kw_only=True):
    """The last frame of a job that has ended: all of its output was sent, and how it ended."""

    seq: Annotated[int, Meta(ge=0, description="bytes of both streams in all")]
    time: Annotated[Time, Meta(description="when the job ended")]
    stream: Literal["end"] = "end"
    data: Literal[""] = ""
    status: StatusName
    exit_code: Annotated[int | None, Meta(description="the program's own, if it has one")]
    signal: Annotated[str | None, Meta(description="what ended it, if a signal did")]
    cause: Cause | None
    reason: Annotated[str | None, Meta(examples=["exited with code 3"])]


class ErrorAnswer(_Body, frozen=True):
    """Every answer that is not a success."""

    error: Annotated[str, Meta(pattern="^Error: ")]
    code: str
    field: str | UnsetType = UNSET
    hint: str | UnsetType = UNSET


class MeAnswer(_Body, frozen=True):
    """Who the token belongs to."""

    name: str
    role: Role
    error: None = None


class HealthAnswer(_Body, frozen=True):
    """The server answers."""

    status: Literal["ok"] = "ok"
    error: None = None


def argument_text(argument: Argument) -> str:
    """The text of an argument as the program gets it; raises ``ValueError``."""
    if isinstance(argument, RawArgument):
        raw = base64.b64decode(argument.base64, validate=True)
        return raw.decode("utf-8", "surrogateescape")
    return argument if isinstance(argument, str) else str(argument)


def argument_view(text: str) -> str | RawArgument:
    """An argument as JSON can carry it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        return RawArgument(base64=base64.b64encode(raw).decode("ascii"))
    return text


def job_view(job: model.Job) -> JobView:
    """``job`` as its owner sees it."""
    end = job.end
    usage: dict[str, Any] | None = None
    if end:
        usage = {name: getattr(end.usage, name) for name in UsageView.__struct_fields__}
    return JobView(
        id=job.id,
        status=job.status.name,
        exit_code=job.exit_code,
        reason=job.reason,
        cause=end.cause if end else None,
        signal=end.signal if end else None,
        owner=job.owner,
        program=job.spec.program,
        args=[argument_view(text) for text in job.spec.args],
        name=job.spec.name,
        labels=dict(job.spec.labels),
        pid=job.pid,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=end.finished_at if end else None,
        usage=UsageView(**usage) if usage else None,
        limits=limits_view(job.spec.limits),
        deadline=job.deadline,
        evidence=dict(end.evidence) if end else None,
        gaps=[gap_view(gap) for gap in end.gaps] if end else [],
        run_as=job.spec.run_as,
        network=job.spec.network,
        containment=job.containment,
        node=job.node,
    )


def limits_view(limits: model.Limits) -> LimitsView:
    """``limits`` as the API shows them."""
    return LimitsView(**{name: getattr(limits, name) for name in LimitsView.__struct_fields__})


def gap_view(gap: model.Gap) -> GapView:
    """``gap`` as the API shows it."""
    return GapView(stream=_stream_name(gap), start=gap.start, end=gap.end)


def line_gap_view(gap: model.Gap, line: int) -> LineGapView:
    """``gap`` as it stands before the line of that number, counted from 0."""
    return LineGapView(stream=_stream_name(gap), start=gap.start, end=gap.end, line=line)


def _stream_name(gap: model.Gap) -> Literal["stdout", "stderr"]:
    assert gap.stream is not model.Stream.INDEX
    return "stdout" if gap.stream is model.Stream.STDOUT else "stderr"
