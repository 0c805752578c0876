"""The query parameters of each route, as types: decoded, checked and documented alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from jobworker.api.fields import MAX_PAGE, MAX_TAIL, MAX_WAIT
from jobworker.errors import InvalidRequest
from jobworker.model import JobQuery, StatusName

Time = Annotated[datetime, Meta(tz=True)]
PairOfLabel = Annotated[str, Meta(extra_json_schema={"pattern": "="}, examples=["team=web"])]


class NoQuery(Struct, frozen=True):
    """No parameters."""


class WaitQuery(Struct, frozen=True):
    """The time to wait for the job's end."""

    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT, description="seconds; 0 answers at once")] = 0.0


class OutputQuery(Struct, frozen=True):
    """Lines so far; or frames, which ones of them, and whether to go on until the job ends.

    All but ``follow`` is for frames alone.
    """

    follow: Annotated[bool, Meta(description="frames until the job ends, as they come")] = False
    after: Annotated[
        int, Meta(ge=0, le=2**62, description="the `seq` of the last frame not to send")
    ] = 0
    since: Annotated[Time | UnsetType, Meta(description="only what came then or later")] = UNSET
    until: Annotated[Time | UnsetType, Meta(description="only what came before that")] = UNSET
    tail: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_TAIL)] | UnsetType,
        Meta(description="only so many last lines of what there is now, and what comes then"),
    ] = UNSET
    stream: Annotated[
        Literal["stdout", "stderr"] | UnsetType, Meta(description="that one alone")
    ] = UNSET


class StreamQuery(Struct, frozen=True):
    """The offset of the first byte, and whether to go on until the job ends."""

    follow: Annotated[bool, Meta(description="stream until the job ends")] = False
    offset: Annotated[
        int,
        Meta(
            ge=0,
            le=2**62,
            description="offset of the first byte to send; a `Range` then counts for nothing",
        ),
    ] = 0


class ListQuery(Struct, frozen=True, rename="camel"):
    """The conditions of a list of jobs; every one that is given must hold."""

    status: Annotated[StatusName | UnsetType, Meta(description="as it is now")] = UNSET
    owner: Annotated[
        str | UnsetType, Meta(description="who started it; another user's are for admins")
    ] = UNSET
    label: Annotated[
        list[PairOfLabel], Meta(description="KEY=VALUE; repeated, all of them must hold")
    ] = []
    program: Annotated[str | UnsetType, Meta(description="the program, as it was asked for")] = (
        UNSET
    )
    name: Annotated[str | UnsetType, Meta(description="the name it was given")] = UNSET
    since: Annotated[
        Time | UnsetType, Meta(description="accepted then or later; RFC 3339, with its offset")
    ] = UNSET
    until: Annotated[
        Time | UnsetType, Meta(description="accepted before then; RFC 3339, with its offset")
    ] = UNSET
    id_prefix: Annotated[
        str | UnsetType, Meta(description="how the ID begins", examples=["j-8f14"])
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="most jobs on the page")] = 100
    cursor: Annotated[
        str | UnsetType, Meta(description="the `next` of the page before, unchanged")
    ] = UNSET


def job_query(asked: ListQuery, owner: str | None) -> JobQuery:
    """The query that ``asked`` is for the manager, with the jobs of ``owner`` only (None: all)."""
    return JobQuery(
        owner=owner,
        status=asked.status or None,
        program=given(asked.program),
        name=given(asked.name),
        labels=dict(_label(text) for text in asked.label),
        since=asked.since or None,
        until=asked.until or None,
        id_prefix=given(asked.id_prefix),
        limit=asked.limit,
        cursor=given(asked.cursor),
    )


def given(value: str | UnsetType) -> str | None:
    """The value of a parameter, or None where it was left out."""
    return None if value is UNSET else value


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(
            f"label: {text[:80]!r} is not KEY=VALUE", field="label", hint="write label=team=web"
        )
    return key, value


class InputQuery(Struct, frozen=True):
    """The parameter of ``GET /jobs/{id}/input``."""

    takeover: Annotated[
        bool, Meta(description="take the input from another client that has it")
    ] = False
