"""The options beside a program and its arguments, as the caller writes them: typed.

For type checkers only, like ``answers.py``: ``api/bodies.py`` is the definition, and a test
holds these types to it. Fields are named as on the wire; all may be left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypedDict

from jobworker.limits import RESOURCES

Moment = str | datetime
"""RFC 3339 with an offset, or a ``datetime`` with a time zone."""


if TYPE_CHECKING:
    from jobworker.limits import LimitsRequest as LimitsRequest  # noqa: PLC0414 - exported
else:
    LimitsRequest = TypedDict(
        "LimitsRequest",
        {limit.field: limit.kind.number | None for limit in RESOURCES},
        total=False,
    )


class WindowRequest(TypedDict):
    """The size of a terminal, in characters."""

    rows: int
    cols: int


class CanStartOptions(TypedDict, total=False):
    """The options of a start that the policy looks at."""

    env: dict[str, str]
    runAs: str | None
    network: bool


class StartOptions(CanStartOptions, total=False):
    """The options of a start; ``timeout`` and ``grace`` in seconds."""

    cwd: str | None
    name: str | None
    labels: dict[str, str]
    timeout: float | None
    grace: float
    limits: LimitsRequest
    containment: Literal["full", "namespaces", "uid", "basic"] | None
    input: Literal["pipe", "terminal"] | None
    window: WindowRequest | None


class ListFilters(TypedDict, total=False):
    """The conditions of a list of jobs; all that are given must hold. Times are RFC 3339."""

    status: Literal["Queued", "Running", "Completed", "Failed", "Stopped"]
    owner: str
    label: dict[str, str]
    program: str
    name: str
    since: str
    until: str
    idPrefix: str
    limit: int
    cursor: str


class Window(TypedDict, total=False):
    """The wanted part of a job's output; ``after`` is the ``seq`` of a frame, ``tail`` lines."""

    after: int
    since: Moment | None
    until: Moment | None
    tail: int | None
    streams: Sequence[Literal["stdout", "stderr"]] | None
