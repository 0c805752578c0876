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

MAX_BODY = 8 * 1024 * 1024
"""Most bytes of a request body: exec takes 2 MiB of arguments, JSON may double them."""

MAX_WAIT = 300.0
"""Most seconds that one ``?wait=`` holds a connection; a client asks again."""

MAX_PAGE = 1000
"""Most jobs on one page of a list."""

Label = Annotated[str, Meta(max_length=256)]
Grace = Annotated[float, Meta(ge=0, le=86_400, description="seconds from SIGTERM to SIGKILL")]


class _Body(Struct, rename="camel", frozen=True, kw_only=True):
    """Base of what is answered."""


class _Request(Struct, rename="camel", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent: a field that is not known is refused, never ignored."""


class RawArgument(_Request, frozen=True):
    """An argument whose bytes are not UTF-8, which JSON text cannot carry."""

    base64: str


Argument = str | int | float | RawArgument


class StartRequest(_Request, frozen=True):
    """``POST /jobs/start``: the program by absolute path, and how to run it."""

    program: Annotated[str, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Annotated[list[Argument], Meta(examples=[["5"]])] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    name: Annotated[str, Meta(max_length=256)] | None = None
    labels: dict[Label, Label] = {}


class StopBody(_Request, frozen=True):
    """``POST /jobs/{id}/stop``: no body, or how long the job has to end by itself."""

    grace: Grace = 0.0


class IdAnswer(_Body, frozen=True):
    """The job that was acted on."""

    id: str
    error: None = None
    hint: str | UnsetType = UNSET


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
    containment: Level
    node: str


class JobList(_Body, frozen=True, kw_only=True):
    """One page of jobs, newest first; ``next`` is the cursor of the page after."""

    jobs: list[JobView]
    next: str | None
    error: None = None


class OutputAnswer(_Body, frozen=True):
    """Both streams by lines, without line ends; what is not UTF-8 as U+FFFD."""

    id: str
    stdout: list[str]
    stderr: list[str]
    error: None = None


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
        containment=job.containment,
        node=job.node,
    )
