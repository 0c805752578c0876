"""The bodies that are sent to the API.

One definition each: the server validates with it and the OpenAPI document is made from it.
Field names are camelCase on the wire.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from jobworker.api.fields import (
    MAX_LABELS,
    MAX_STDIN,
    Arguments,
    Grace,
    Label,
    Path,
    RawInput,
    Request,
    Seconds,
    Side,
    Variables,
)
from jobworker.api.limits import LimitsRequest
from jobworker.limits import GRACE, TIMEOUT
from jobworker.model import Level


class WindowRequest(Request, frozen=True):
    """The size of a terminal, in characters."""

    rows: Annotated[Side, Meta(description="lines")]
    cols: Annotated[Side, Meta(description="characters in one")]


class StartRequest(Request, frozen=True):
    """``POST /jobs/start``: the program by absolute path, and how to run it."""

    program: Annotated[Path, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Arguments = []
    env: Variables = {}
    cwd: Annotated[
        Path | None, Meta(description="working directory; null is one of the job's own")
    ] = None
    name: Annotated[Label | None, Meta(description="what people may find it by")] = None
    labels: Annotated[
        dict[Label, Label],
        Meta(max_length=MAX_LABELS, description="what lists may be filtered by"),
    ] = {}
    timeout: Annotated[Seconds | None, Meta(description=TIMEOUT.description)] = None
    grace: Annotated[Grace, Meta(description=f"{GRACE.description} once the time is over")] = 0.0
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


class EndOfInput(Request, frozen=True, tag_field="type", tag="eof"):
    """Over the WebSocket of an input: nothing more is to come."""


class Resize(Request, frozen=True, tag_field="type", tag="resize"):
    """Over the WebSocket of an input: the window has another size."""

    rows: Annotated[Side, Meta(description="lines")]
    cols: Annotated[Side, Meta(description="characters in one")]


class ExtendRequest(Request, frozen=True):
    """``POST /jobs/{id}/extend``: how many seconds more the job may run."""

    seconds: Annotated[Seconds, Meta(description="seconds more than now")]


class CanStartRequest(Request, frozen=True):
    """``POST /policy/can-start``: would this start be allowed, and by which rule."""

    program: Annotated[Path, Meta(description="absolute path", examples=["/bin/sleep"])]
    args: Arguments = []
    env: Variables = {}
    run_as: Annotated[Label | None, Meta(description="account of the machine")] = None
    network: Annotated[bool, Meta(description="false: only a loopback of its own")] = True


class StopBody(Request, frozen=True):
    """``POST /jobs/{id}/stop``: no body, or how long the job has to end by itself."""

    grace: Grace = 0.0


class SignalBody(Request, frozen=True):
    """``POST /jobs/{id}/signal``: which signal its program is to get."""

    signal: Annotated[
        str | int,
        Meta(description="a name with or without SIG, or a number", examples=["HUP", "SIGHUP", 1]),
    ]


class RerunBody(Request, frozen=True):
    """``POST /jobs/{id}/rerun``: no body, or an empty object."""
