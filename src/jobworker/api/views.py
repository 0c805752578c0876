"""The bodies that the API answers with, and how they are made of the model's values.

The OpenAPI document is made from them, and a test holds the client's reading of the answers
to them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from jobworker import model
from jobworker.api.fields import Body, Id, NoError, RawArgument, Time, argument_view
from jobworker.api.limits import LimitsView, limits_view
from jobworker.model import Cause, Level, Role, StatusName


class Taken(Body, frozen=True, tag_field="type", tag="taken"):
    """Over the WebSocket of an input: so many bytes of this connection are in the pipe."""

    bytes: int


class Over(Body, frozen=True, tag_field="type", tag="over"):
    """Over the WebSocket of an input: nothing more is taken; ``code`` is that of the close."""

    code: int
    reason: str


class IdAnswer(Body, frozen=True):
    """The job that was acted on."""

    id: Id
    error: NoError = None
    hint: Annotated[str | UnsetType, Meta(description="what the owner had better know")] = UNSET


class SignalAnswer(Body, frozen=True):
    """The job whose program was sent the signal of that name."""

    id: Id
    signal: Annotated[str, Meta(description="the name of the signal", examples=["SIGHUP"])]
    error: NoError = None


class ExtendAnswer(Body, frozen=True):
    """The job whose deadline was moved, and where it is now."""

    id: Id
    deadline: Annotated[Time, Meta(description="when it is stopped")]
    error: NoError = None


class CanStartAnswer(Body, frozen=True, kw_only=True):
    """The decision of the policy: which rule decides, and what it imposes."""

    allowed: Annotated[bool, Meta(description="whether the start would be allowed")]
    rule: Annotated[str, Meta(description="the rule that decides, or `default`")]
    reason: Annotated[str, Meta(description="one sentence")]
    run_as: Annotated[str | None, Meta(description="account; null is one of the user's own")]
    network: Annotated[bool, Meta(description="whether the job would have the network")]
    limits: Annotated[LimitsView, Meta(description="the limits that would be effective")]
    error: NoError = None


class GapView(Body, frozen=True):
    """Bytes of a stream, from ``start`` up to ``end``, that were written and not kept."""

    stream: Annotated[Literal["stdout", "stderr"], Meta(description="the stream")]
    start: Annotated[int, Meta(description="offset of the first missing byte")]
    end: Annotated[int, Meta(description="offset of the next kept byte")]


class UsageView(Body, frozen=True):
    """The resources that the job used: seconds, bytes."""

    cpu_seconds: Annotated[float, Meta(description="seconds of CPU time")]
    peak_memory: Annotated[int, Meta(description="bytes of memory at most")]
    stdout_bytes: Annotated[int, Meta(description="bytes written to standard output")]
    stderr_bytes: Annotated[int, Meta(description="bytes written to standard error")]
    dropped_bytes: Annotated[int, Meta(description="bytes of them that are not kept")]


class JobView(Body, frozen=True, kw_only=True):
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
    args_cut: Annotated[
        Literal[True] | UnsetType,
        Meta(
            description="in a list, or in the answer to a start, where `args` are only the "
            "beginning, up to a `…`; else left out"
        ),
    ] = UNSET
    name: Annotated[str | None, Meta(description="what people may find it by")]
    labels: Annotated[dict[str, str], Meta(description="what lists may be filtered by")]
    pid: Annotated[int | None, Meta(description="its PID on the server's machine, while it runs")]
    created_at: Annotated[Time, Meta(description="when it was accepted")]
    started_at: Annotated[Time | None, Meta(description="when the program began")]
    finished_at: Annotated[Time | None, Meta(description="when it ended")]
    usage: Annotated[UsageView | None, Meta(description="what it used, once it has ended")]
    limits: Annotated[LimitsView, Meta(description="the effective limits")]
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


class StartedJob(JobView, frozen=True, kw_only=True):
    """A job that was started, when the wait for its end was over."""

    hint: Annotated[str | UnsetType, Meta(description="what the owner had better know")] = UNSET


class JobList(Body, frozen=True, kw_only=True):
    """One page of jobs, newest first; ``next`` is the cursor of the page after."""

    jobs: Annotated[list[JobView], Meta(description="newest first")]
    next: Annotated[str | None, Meta(description="the `cursor` of the next page, if any")]
    error: NoError = None


class LineGapView(GapView, frozen=True):
    """A gap among the lines: ``line`` is how many lines of the stream stand before it."""

    line: Annotated[int, Meta(description="how many lines of the stream stand before it")]
    left_out: Annotated[
        Literal[True] | UnsetType,
        Meta(
            description="where bytes are kept that this answer has no room for: the raw streams "
            "and the frames have them; else left out"
        ),
    ] = UNSET


class OutputAnswer(Body, frozen=True):
    """Both streams by lines, without line ends; what is not UTF-8 as U+FFFD.

    At most the last 8 MiB of both streams; what stands before is told as a gap that is
    ``leftOut``. No line has bytes from both sides of a gap. Where there are no ``gaps``, the
    body is that of the core contract.
    """

    id: Id
    stdout: Annotated[list[str], Meta(description="lines of standard output")]
    stderr: Annotated[list[str], Meta(description="lines of standard error")]
    error: NoError = None
    gaps: Annotated[
        list[LineGapView] | UnsetType, Meta(description="what is not kept; else left out")
    ] = UNSET


class OutputFrame(Body, frozen=True, kw_only=True):
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


class GapFrame(Body, frozen=True, kw_only=True):
    """Bytes that a job has written and that are not kept; ``seq`` counts them too."""

    seq: Annotated[int, Meta(ge=0, description="bytes of both streams up to and with these")]
    time: Annotated[Time, Meta(description="when the last of them came")]
    stream: Annotated[Literal["stdout", "stderr"], Meta(description="where to")]
    data: Annotated[Literal[""], Meta(description="nothing")] = ""
    dropped: Annotated[int, Meta(ge=1, description="bytes", examples=[125_829_120])]


class EndFrame(Body, frozen=True, kw_only=True):
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


class ErrorAnswer(Body, frozen=True):
    """Every answer that is not a success."""

    error: Annotated[str, Meta(pattern="^Error: ", description="one sentence for people")]
    code: Annotated[str, Meta(description="what a program may test for; it stays the same")]
    field: Annotated[
        str | UnsetType, Meta(description="the part of the request that is to blame")
    ] = UNSET
    hint: Annotated[str | UnsetType, Meta(description="what to do about it")] = UNSET


class MeAnswer(Body, frozen=True):
    """The user that the token belongs to."""

    name: Annotated[str, Meta(description="the user")]
    role: Annotated[Role, Meta(description="own jobs only, or everything")]
    error: NoError = None


class HealthAnswer(Body, frozen=True):
    """The server answers."""

    status: Annotated[Literal["ok"], Meta(description="it answers")] = "ok"
    error: NoError = None


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
        args_cut=True if "args" in job.cut else UNSET,
        name=job.spec.name,
        labels=dict(job.spec.labels),
        pid=job.pid,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=end.finished_at if end else None,
        usage=UsageView(**usage) if usage else None,
        limits=limits_view(job.terms.limits),
        deadline=job.deadline,
        evidence=dict(end.evidence) if end else None,
        gaps=[gap_view(gap) for gap in end.gaps] if end else [],
        run_as=job.terms.run_as,
        network=job.terms.network,
        containment=job.containment,
        input=job.spec.input.kind if job.spec.input else None,
        node=job.node,
    )


def started_job(job: model.Job, hint: str | None) -> StartedJob:
    """``job`` as the answer to the start that waited for it; ``hint`` is for its owner."""
    return StartedJob(**msgspec.structs.asdict(job_view(job)), hint=hint or UNSET)


def gap_view(gap: model.Gap) -> GapView:
    """``gap`` as the API shows it."""
    return GapView(stream=_stream_name(gap), start=gap.start, end=gap.end)


def line_gap_view(gap: model.Gap, line: int, *, left_out: bool = False) -> LineGapView:
    """``gap`` as it stands before the line of that number, counted from 0.

    It is ``left_out`` where there are bytes in it that are kept.
    """
    return LineGapView(
        stream=_stream_name(gap),
        start=gap.start,
        end=gap.end,
        line=line,
        left_out=True if left_out else UNSET,
    )


def _stream_name(gap: model.Gap) -> Literal["stdout", "stderr"]:
    assert gap.stream is not model.Stream.INDEX
    return "stdout" if gap.stream is model.Stream.STDOUT else "stderr"
