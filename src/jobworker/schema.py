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
from jobworker.model import Cause, JobId, Level, Role, StatusName

Time = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC")]

MAX_BODY = 8 * 1024 * 1024
"""Most bytes of a request body: exec takes 2 MiB of arguments, JSON may double them."""

MAX_STDIN = 16 * 1024 * 1024
"""Most bytes of standard input that go with a start."""

MAX_START = MAX_BODY + MAX_STDIN // 3 * 4 + 4
"""Most bytes of the body of a start: its input as base64 comes on top of the rest."""

MAX_PIECE = 64 * 1024
"""Most bytes of one message of input."""

MAX_WAIT = 300.0
"""Most seconds that one ``?wait=`` holds a connection; a client asks again."""

MAX_TAIL = 1_000_000
"""Most last lines that one may ask for: they are looked for from the end, one by one."""

MAX_PAGE = 1000
"""Most jobs on one page of a list."""

MAX_SECONDS = 10 * 365 * 86_400.0
"""Most seconds of a time limit: ten years."""

# What ``api/start_request.py`` checks in words of its own stands here for readers alone.
Text = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^\x00]*$"})]
Path = Annotated[
    str, Meta(extra_json_schema={"pattern": r"^/[^\x00]*$"}, description="absolute path")
]
Label = Annotated[Text, Meta(max_length=256)]
VariableName = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^=\x00]+$"})]
Base64 = Annotated[
    str,
    Meta(
        extra_json_schema={
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        },
        description="the bytes, none of them NUL",
        examples=["/w=="],
    ),
]

Grace = Annotated[float, Meta(ge=0, le=86_400, description="seconds from SIGTERM to SIGKILL")]
Id = Annotated[str, Meta(description="the job's ID", extra_json_schema={"pattern": JobId.PATTERN})]
NoError = Annotated[None, Meta(description="null: this is a success")]


class _Body(Struct, rename="camel", frozen=True, kw_only=True):
    """Base of what is answered."""


class _Request(Struct, rename="camel", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent: a field that is not known is refused, never ignored."""


class RawArgument(_Request, frozen=True):
    """An argument whose bytes are not UTF-8, which JSON text cannot carry."""

    base64: Base64


class RawInput(_Request, frozen=True):
    """Input of any bytes."""

    base64: Annotated[
        str,
        Meta(extra_json_schema={"contentEncoding": "base64"}, description="the bytes, any at all"),
    ]


Argument = Text | int | float | RawArgument
Arguments = Annotated[
    list[Argument],
    Meta(description="what the program is given; a number is passed as text", examples=[["5"]]),
]


Seconds = Annotated[float, Meta(ge=0.001, le=MAX_SECONDS, description="seconds")]
Bytes = Annotated[int, Meta(ge=1, le=2**60, description="bytes")]


Side = Annotated[int, Meta(ge=1, le=10_000)]


class LimitsRequest(_Request, frozen=True):
    """What the job may use at most; what is left out is the role's default."""

    memory: Annotated[Bytes | None, Meta(description="bytes of memory")] = None
    cpus: Annotated[
        Annotated[float, Meta(ge=0.01, le=1024)] | None,
        Meta(description="CPUs; 0.5 is half of one"),
    ] = None
    pids: Annotated[
        Annotated[int, Meta(ge=1, le=2**22)] | None,
        Meta(description="processes and threads at once"),
    ] = None
    open_files: Annotated[
        Annotated[int, Meta(ge=8, le=2**20)] | None,
        Meta(description="open files of each process"),
    ] = None
    output: Annotated[
        Bytes | None, Meta(description="bytes of output kept: the first eighth, and the last")
    ] = None
    tmp: Annotated[Bytes | None, Meta(description="bytes in the job's own /tmp")] = None
    nice: Annotated[
        Annotated[int, Meta(ge=0, le=19)] | None, Meta(description="how far others go first")
    ] = None


class WindowRequest(_Request, frozen=True):
    """The size of a terminal, in characters."""

    rows: Annotated[Side, Meta(description="lines")]
    cols: Annotated[Side, Meta(description="characters in one")]


class StartRequest(_Request, frozen=True):
    """``POST /jobs/start``: the program by absolute path, and how to run it."""

    program: Annotated[Path, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Arguments = []
    env: Annotated[
        dict[VariableName, Text], Meta(description="variables beside those that jobs have")
    ] = {}
    cwd: Annotated[
        Path | None, Meta(description="working directory; null is one of the job's own")
    ] = None
    name: Annotated[Label | None, Meta(description="what people may find it by")] = None
    labels: Annotated[dict[Label, Label], Meta(description="what lists may be filtered by")] = {}
    timeout: Annotated[
        Seconds | None, Meta(description="seconds from the program's start; null is the default")
    ] = None
    grace: Annotated[
        Grace, Meta(description="seconds from SIGTERM to SIGKILL once the time is over")
    ] = 0.0
    limits: Annotated[LimitsRequest, Meta(description="what it may use")] = LimitsRequest()
    run_as: Annotated[
        Label | None, Meta(description="account of the machine, where the policy allows it")
    ] = None
    network: Annotated[bool, Meta(description="false: only a loopback of its own")] = True
    containment: Annotated[Level | None, Meta(description="the least that will do")] = None
    stdin: Annotated[
        str | RawInput | None,
        Meta(description=f"all of standard input, at most {MAX_STDIN} bytes"),
    ] = None
    input: Annotated[
        Literal["pipe", "terminal"] | None,
        Meta(description="standard input that `GET /jobs/{id}/input` feeds; not with stdin"),
    ] = None
    window: Annotated[WindowRequest | None, Meta(description="of the terminal, at first")] = None


class EndOfInput(_Request, frozen=True, tag_field="type", tag="eof"):
    """Over the WebSocket of an input: nothing more is to come."""


class Resize(_Request, frozen=True, tag_field="type", tag="resize"):
    """Over the WebSocket of an input: the window has another size."""

    rows: Annotated[Side, Meta(description="lines")]
    cols: Annotated[Side, Meta(description="characters in one")]


class Taken(_Body, frozen=True, tag_field="type", tag="taken"):
    """Over the WebSocket of an input: so many bytes of this connection are in the pipe."""

    bytes: int


class Over(_Body, frozen=True, tag_field="type", tag="over"):
    """Over the WebSocket of an input: nothing more is taken; ``code`` is that of the close."""

    code: int
    reason: str


class ExtendRequest(_Request, frozen=True):
    """``POST /jobs/{id}/extend``: how many seconds more the job may run."""

    seconds: Annotated[Seconds, Meta(description="seconds more than now")]


class CanStartRequest(_Request, frozen=True):
    """``POST /policy/can-start``: would this start be allowed, and by which rule."""

    program: Annotated[Path, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Arguments = []
    env: Annotated[
        dict[VariableName, Text], Meta(description="variables beside those that jobs have")
    ] = {}
    run_as: Annotated[Label | None, Meta(description="account of the machine")] = None
    network: Annotated[bool, Meta(description="false: only a loopback of its own")] = True


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

    id: Id
    error: NoError = None
    hint: Annotated[str | UnsetType, Meta(description="what the owner had better know")] = UNSET


class SignalAnswer(_Body, frozen=True):
    """The job whose program was sent the signal of that name."""

    id: Id
    signal: Annotated[str, Meta(description="the name of the signal", examples=["SIGHUP"])]
    error: NoError = None


class ExtendAnswer(_Body, frozen=True):
    """The job whose deadline was moved, and where it is now."""

    id: Id
    deadline: Annotated[Time, Meta(description="when it is stopped")]
    error: NoError = None


class CanStartAnswer(_Body, frozen=True, kw_only=True):
    """What the policy says: which rule decides, and what it imposes."""

    allowed: Annotated[bool, Meta(description="whether the start would be allowed")]
    rule: Annotated[str, Meta(description="the rule that decides, or `default`")]
    reason: Annotated[str, Meta(description="one sentence")]
    run_as: Annotated[str | None, Meta(description="account; null is one of the user's own")]
    network: Annotated[bool, Meta(description="whether the job would have the network")]
    limits: Annotated[LimitsView, Meta(description="what would be in force")]
    error: NoError = None


class LimitsView(_Body, frozen=True, kw_only=True):
    """The limits in force; null where nothing is limited."""

    memory: Annotated[int | None, Meta(description="bytes of memory")]
    cpus: Annotated[float | None, Meta(description="CPUs; 0.5 is half of one")]
    pids: Annotated[int | None, Meta(description="processes and threads at once")]
    open_files: Annotated[int | None, Meta(description="open files of each process")]
    output: Annotated[int | None, Meta(description="bytes of output kept")]
    tmp: Annotated[int | None, Meta(description="bytes in the job's own /tmp")]
    nice: Annotated[int | None, Meta(description="how far others go first, 0 to 19")]
    timeout: Annotated[float | None, Meta(description="seconds from the program's start")]


class GapView(_Body, frozen=True):
    """Bytes of a stream, from ``start`` up to ``end``, that were written and not kept."""

    stream: Annotated[Literal["stdout", "stderr"], Meta(description="the stream")]
    start: Annotated[int, Meta(description="place of the first missing byte")]
    end: Annotated[int, Meta(description="place of the next kept byte")]


class UsageView(_Body, frozen=True):
    """What the job used: seconds, bytes."""

    cpu_seconds: Annotated[float, Meta(description="seconds of CPU time")]
    peak_memory: Annotated[int, Meta(description="bytes of memory at most")]
    stdout_bytes: Annotated[int, Meta(description="bytes written to standard output")]
    stderr_bytes: Annotated[int, Meta(description="bytes written to standard error")]
    dropped_bytes: Annotated[int, Meta(description="bytes of them that are not kept")]


class JobView(_Body, frozen=True, kw_only=True):
    """A job as its owner sees it."""

    id: Id
    status: Annotated[StatusName, Meta(description="where it stands; the last three are final")]
    exit_code: Annotated[
        int | None, Meta(description="the program's own; null as long as there is none")
    ]
    error: NoError = None
    reason: Annotated[str | None, Meta(description="one sentence that goes with the status")]
    cause: Annotated[Cause | None, Meta(description="what ended it")]
    signal: Annotated[str | None, Meta(description="what ended it, if a signal did")]
    owner: Annotated[str, Meta(description="who started it")]
    program: Annotated[str, Meta(description="what was started, as it was asked for")]
    args: Annotated[list[str | RawArgument], Meta(description="what the program was given")]
    name: Annotated[str | None, Meta(description="what people may find it by")]
    labels: Annotated[dict[str, str], Meta(description="what lists may be filtered by")]
    pid: Annotated[int | None, Meta(description="its PID on the server's machine, while it runs")]
    created_at: Annotated[Time, Meta(description="when it was accepted")]
    started_at: Annotated[Time | None, Meta(description="when the program began")]
    finished_at: Annotated[Time | None, Meta(description="when it ended")]
    usage: Annotated[UsageView | None, Meta(description="what it used, once it has ended")]
    limits: Annotated[LimitsView, Meta(description="what is in force")]
    deadline: Annotated[Time | None, Meta(description="when it is stopped, if it has a limit")]
    evidence: Annotated[
        dict[str, str | int | float] | None, Meta(description="what the cause was told by")
    ]
    gaps: Annotated[list[GapView], Meta(description="what is not kept of its output")]
    run_as: Annotated[str | None, Meta(description="account; null is one of the owner's own")]
    network: Annotated[bool, Meta(description="whether it has the machine's network")]
    containment: Annotated[Level, Meta(description="how far it is walled off")]
    input: Annotated[
        Literal["given", "pipe", "terminal"] | None,
        Meta(description="where its standard input comes from; null is nowhere"),
    ]
    node: Annotated[str, Meta(description="the machine that it runs on")]


class JobList(_Body, frozen=True, kw_only=True):
    """One page of jobs, newest first; ``next`` is the cursor of the page after."""

    jobs: Annotated[list[JobView], Meta(description="newest first")]
    next: Annotated[str | None, Meta(description="the `cursor` of the next page, if any")]
    error: NoError = None


class LineGapView(GapView, frozen=True):
    """A gap among the lines: ``line`` is how many lines of the stream stand before it."""

    line: Annotated[int, Meta(description="how many lines of the stream stand before it")]


class OutputAnswer(_Body, frozen=True):
    """Both streams by lines, without line ends; what is not UTF-8 as U+FFFD.

    No line has bytes from both sides of a gap. Where all is kept there are no ``gaps``, and
    the body is that of the core contract.
    """

    id: Id
    stdout: Annotated[list[str], Meta(description="lines of standard output")]
    stderr: Annotated[list[str], Meta(description="lines of standard error")]
    error: NoError = None
    gaps: Annotated[
        list[LineGapView] | UnsetType, Meta(description="what is not kept; else left out")
    ] = UNSET


class OutputFrame(_Body, frozen=True, kw_only=True):
    """Bytes that a job has written, in the order in which they came.

    ``after=`` the ``seq`` of a frame goes on with the byte that follows it.
    """

    seq: Annotated[
        int, Meta(ge=0, description="bytes of both streams up to and with these", examples=[6])
    ]
    time: Annotated[Time, Meta(description="when they came")]
    stream: Annotated[Literal["stdout", "stderr"], Meta(description="where to")]
    data: Annotated[str, Meta(description="the bytes, as text", examples=["hello\n"])]
    encoding: Annotated[
        Literal["base64"] | UnsetType,
        Meta(description="of `data`, where the bytes are not UTF-8; else left out"),
    ] = UNSET


class GapFrame(_Body, frozen=True, kw_only=True):
    """Bytes that a job has written and that are not kept; ``seq`` counts them too."""

    seq: Annotated[int, Meta(ge=0, description="bytes of both streams up to and with these")]
    time: Annotated[Time, Meta(description="when the last of them came")]
    stream: Annotated[Literal["stdout", "stderr"], Meta(description="where to")]
    data: Annotated[Literal[""], Meta(description="nothing")] = ""
    dropped: Annotated[int, Meta(ge=1, description="bytes", examples=[125_829_120])]


class EndFrame(_Body, frozen=True, kw_only=True):
    """The last frame of a job that has ended: all of its output was sent, and how it ended."""

    seq: Annotated[int, Meta(ge=0, description="bytes of both streams in all")]
    time: Annotated[Time, Meta(description="when the job ended")]
    stream: Annotated[Literal["end"], Meta(description="what tells it from output")] = "end"
    data: Annotated[Literal[""], Meta(description="nothing")] = ""
    status: Annotated[StatusName, Meta(description="the final one")]
    exit_code: Annotated[int | None, Meta(description="the program's own, if it has one")]
    signal: Annotated[str | None, Meta(description="what ended it, if a signal did")]
    cause: Annotated[Cause | None, Meta(description="what ended it")]
    reason: Annotated[str | None, Meta(description="one sentence", examples=["exited with code 3"])]


class ErrorAnswer(_Body, frozen=True):
    """Every answer that is not a success."""

    error: Annotated[str, Meta(pattern="^Error: ", description="one sentence for people")]
    code: Annotated[str, Meta(description="what a program may test for; it stays the same")]
    field: Annotated[
        str | UnsetType, Meta(description="the part of the request that is to blame")
    ] = UNSET
    hint: Annotated[str | UnsetType, Meta(description="what to do about it")] = UNSET


class MeAnswer(_Body, frozen=True):
    """Who the token belongs to."""

    name: Annotated[str, Meta(description="the user")]
    role: Annotated[Role, Meta(description="own jobs only, or everything")]
    error: NoError = None


class HealthAnswer(_Body, frozen=True):
    """The server answers."""

    status: Annotated[Literal["ok"], Meta(description="it answers")] = "ok"
    error: NoError = None


def argument_text(argument: Argument) -> str:
    """The text of an argument as the program gets it; raises ``ValueError``."""
    if isinstance(argument, RawArgument):
        return from_base64(argument).decode("utf-8", "surrogateescape")
    return argument if isinstance(argument, str) else str(argument)


def from_base64(text: RawArgument | RawInput) -> bytes:
    """The bytes that ``text`` stands for; raises ``ValueError``."""
    return base64.b64decode(text.base64, validate=True)


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
        input=job.spec.input.kind if job.spec.input else None,
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
