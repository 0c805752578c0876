"""The one table of routes.

Dispatch, permissions and the OpenAPI document are made from it; a test walks it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from jobworker.api import bodies, fields, views, wire
from jobworker.api.answers import BytesAnswer, html_answer, json_answer
from jobworker.api.document import openapi, pages
from jobworker.api.query import InputQuery, ListQuery, OutputQuery, StreamQuery, WaitQuery
from jobworker.api.resources import input as job_input
from jobworker.api.resources import jobs, output
from jobworker.api.route import Route
from jobworker.api.service import Call
from jobworker.errors import (
    IdempotencyKeyReused,
    InputBusy,
    InputClosed,
    IsolationUnavailable,
    JobNotFound,
    JobNotRunning,
    JobRunning,
    LimitTooHigh,
    LimitUnavailable,
    NoDeadline,
    ProgramForbidden,
    ProgramNotExecutable,
    ProgramNotFound,
    RangeNotSatisfiable,
    StartFailed,
    StorageFull,
    TooManyJobs,
    TooManyRequests,
)
from jobworker.identity.permissions import Action
from jobworker.model import Stream

_OF_A_START = (
    ProgramForbidden,
    ProgramNotFound,
    ProgramNotExecutable,
    LimitTooHigh,
    LimitUnavailable,
    IsolationUnavailable,
    IdempotencyKeyReused,
    TooManyJobs,
    StartFailed,
    StorageFull,
)
"""The errors that starting a job may end in."""


def _starts() -> Iterable[Route]:
    yield Route(
        "POST",
        "/jobs/start",
        Action.START,
        jobs.start,
        views.IdAnswer,
        waited=views.StartedJob,
        body=bodies.StartRequest,
        query=WaitQuery,
        status=201,
        most_body=fields.MAX_START,
        errors=(JobNotFound, TooManyRequests, *_OF_A_START),
        headers=(wire.IDEMPOTENCY_KEY,),
    )
    yield Route(
        "POST",
        "/jobs/{id}/rerun",
        Action.RERUN,
        jobs.rerun,
        views.IdAnswer,
        body=bodies.RerunBody,
        status=201,
        errors=_OF_A_START,
        headers=(wire.IDEMPOTENCY_KEY,),
    )


def _jobs() -> Iterable[Route]:
    yield Route(
        "POST",
        "/jobs/{id}/stop",
        Action.STOP,
        jobs.stop,
        views.IdAnswer,
        body=bodies.StopBody,
        errors=(JobNotRunning, TooManyRequests),
    )
    yield Route(
        "POST",
        "/jobs/{id}/extend",
        Action.EXTEND,
        jobs.extend,
        views.ExtendAnswer,
        body=bodies.ExtendRequest,
        errors=(JobNotRunning, NoDeadline, LimitTooHigh, ProgramForbidden),
    )
    yield Route(
        "POST",
        "/jobs/{id}/signal",
        Action.SIGNAL,
        jobs.signal,
        views.SignalAnswer,
        body=bodies.SignalBody,
        errors=(JobNotRunning,),
    )
    yield Route(
        "GET",
        "/jobs/{id}",
        Action.STATUS,
        jobs.status,
        views.JobView,
        query=WaitQuery,
        errors=(TooManyRequests,),
    )
    yield Route("GET", "/jobs", Action.LIST, jobs.list_jobs, views.JobList, query=ListQuery)
    yield Route(
        "DELETE",
        "/jobs/{id}",
        Action.REMOVE,
        jobs.remove,
        views.IdAnswer,
        errors=(JobRunning,),
    )


def _streams() -> Iterable[Route]:
    yield Route(
        "GET",
        "/jobs/{id}/input",
        Action.INPUT,
        job_input.attach,
        None,
        query=InputQuery,
        status=101,
        errors=(JobNotRunning, InputClosed, InputBusy, TooManyRequests),
    )
    yield Route(
        "GET",
        "/jobs/{id}/output",
        Action.OUTPUT,
        output.output,
        views.OutputAnswer,
        query=OutputQuery,
        errors=(TooManyRequests,),
        media=(wire.FRAMES_AS_LINES, wire.FRAMES_AS_EVENTS),
        headers=(wire.LAST_EVENT_ID,),
    )
    for stream in (Stream.STDOUT, Stream.STDERR):
        yield Route(
            "GET",
            f"/jobs/{{id}}/output/{stream.file_name}",
            Action.OUTPUT,
            output.raw(stream),
            None,
            query=StreamQuery,
            errors=(RangeNotSatisfiable, TooManyRequests),
            media=(wire.BYTES,),
            headers=(wire.RANGE,),
            answer_headers=(wire.ACCEPT_RANGES, wire.CONTENT_DISPOSITION),
        )


def _service() -> Iterable[Route]:
    yield Route(
        "POST",
        "/policy/can-start",
        Action.CAN_START,
        jobs.can_start,
        views.CanStartAnswer,
        body=bodies.CanStartRequest,
    )
    yield Route("GET", "/me", Action.WHOAMI, jobs.whoami, views.MeAnswer)
    yield Route("GET", "/healthz", Action.PUBLIC, jobs.health, views.HealthAnswer)
    yield Route("GET", "/readyz", Action.PUBLIC, jobs.ready, views.HealthAnswer)
    yield Route("GET", "/openapi.json", Action.PUBLIC, _describe, None, media=(wire.OPENAPI,))
    for path, handler in (("/docs", _show_docs), ("/", _show_home)):
        yield Route(
            "GET",
            path,
            Action.PUBLIC,
            handler,
            None,
            media=(wire.HTML,),
            answer_headers=(wire.CONTENT_SECURITY_POLICY,),
        )


async def _describe(_: Call) -> BytesAnswer:
    """Describe the API, in OpenAPI 3.1."""
    return json_answer(_document_as_json(), 200)


async def _show_docs(_: Call) -> BytesAnswer:
    """Show the reference of the API to people; nothing in it comes from elsewhere."""
    return html_answer(_docs())


async def _show_home(_: Call) -> BytesAnswer:
    """Tell people what answers here, and where to read on."""
    return html_answer(pages.home())


@cache  # anybody may ask for it, and it takes milliseconds to make
def _document() -> dict[str, Any]:
    return openapi.document(ROUTES)


@cache  # the same
def _document_as_json() -> bytes:
    return msgspec.json.encode(_document())


@cache  # the same
def _docs() -> str:
    return pages.reference(_document())


ROUTES: tuple[Route, ...] = (*_starts(), *_jobs(), *_streams(), *_service())
