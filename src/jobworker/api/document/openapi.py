"""The OpenAPI 3.1 document, made from the table of routes and the types that validate."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from inspect import cleandoc
from typing import Any

import msgspec

from jobworker.api import wire
from jobworker.api.document import schemas
from jobworker.api.document.examples import EXAMPLE_ID, EXAMPLES
from jobworker.api.errors import EXTRA_HEADERS, STATUS
from jobworker.api.query import NoQuery
from jobworker.api.route import Route
from jobworker.api.views import ErrorAnswer, IdAnswer
from jobworker.api.wire import HeaderField, Media
from jobworker.errors import JobWorkerError, RangeNotSatisfiable
from jobworker.model import JobId
from jobworker.version import VERSION

_DESCRIPTION = """\
Runs programs as jobs, for users who have no shell on the machine.

* TLS 1.3 only, and `Authorization: Bearer <token>` on every call but the public ones:
  `jobctl token print` prints yours. Without a token every other path is 401, known or not.
* Every answer in JSON carries `error`: null, or a sentence that begins with `Error: `. An
  error also has a `code`, which stays the same, and where there is something to say, a
  `field` and a `hint`.
* With a token, a path that is not here is 404 `not_found`, and a method that a path does
  not have is 405 `method_not_allowed` with `Allow`.
* Times are RFC 3339 in UTC, sizes bytes, durations seconds. An unknown field or parameter
  is refused, never ignored.
"""

_TAGS = {
    "jobs": "Start jobs, look at them, end them.",
    "output": "What jobs have written.",
    "policy": "What may be started.",
    "identity": "Who is calling.",
    "service": "For monitoring, and about this API.",
}

_JOB_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the ID that the start answered with",
    "schema": {"type": "string", "pattern": JobId.PATTERN},
    "example": EXAMPLE_ID,
}

Json = dict[str, Any]


def document(routes: Sequence[Route]) -> Json:
    """The document for ``routes``."""
    paths: dict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route)
    _link(routes, paths)
    errors = {error for route in routes for error in route.all_errors}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Job worker",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the server that this document came from"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.schemas(_types(routes), [route.query for route in routes]),
            "examples": {error.code: _error_example(error) for error in _by_code(errors)},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a token, as `jobctl token print` prints it",
                }
            },
        },
    }


def operation_id(route: Route) -> str:
    """A name for the route that generated clients can use: ``get_jobs_id_output``."""
    return re.sub(r"[^a-z]+", "_", f"{route.method} {route.path}".lower()).strip("_")


def tag(route: Route) -> str:
    """The subject of the route, one of the document's tags."""
    if "/output" in route.path:
        return "output"
    first = route.path.split("/")[1]
    return {"jobs": "jobs", "policy": "policy", "me": "identity"}.get(first, "service")


def _link(routes: Sequence[Route], paths: dict[str, Json]) -> None:
    """Links the answers that name a new job to the calls about jobs, which take its ``id``."""
    links = {
        operation_id(route): {
            "operationId": operation_id(route),
            "parameters": {"id": "$response.body#/id"},
        }
        for route in routes
        if route.about_job
    }
    for route in routes:
        if route.answer is IdAnswer and route.status == 201:
            paths[route.path][route.method.lower()]["responses"]["201"]["links"] = links


def _operation(route: Route) -> Json:
    text = cleandoc(route.handler.__doc__ or "")
    operation: Json = {
        "operationId": operation_id(route),
        "tags": [tag(route)],
        "summary": text.partition("\n")[0].rstrip("."),
        "description": text,
        "security": [] if route.public else [{"bearer": []}],
        "parameters": list(_parameters(route)),
        "responses": {**_successes(route), **_failures(route)},
    }
    if route.body or route.takes:
        operation["requestBody"] = _request_body(route)
    return operation


def _request_body(route: Route) -> Json:
    content = _content(route.body, route.takes)
    fields = msgspec.structs.fields(route.body) if route.body else ()
    return {"required": any(each.required for each in fields), "content": content}


def _parameters(route: Route) -> Iterable[Json]:
    if route.about_job:
        yield _JOB_ID
    for header in route.headers:
        yield {"name": header.name, "in": "header", "required": False, **_header(header)}
    properties = {} if route.query is NoQuery else schemas.properties(route.query)
    for name, schema in properties.items():
        parameter = {"name": name, "in": "query", "required": False, "schema": schema}
        if description := schema.pop("description", None):
            parameter["description"] = description
        yield parameter


def _successes(route: Route) -> dict[str, Json]:
    """The answers of a success by status: a part of the bytes has one of its own."""
    whole: Json = {"description": "a WebSocket" if route.is_socket else "success"}
    if content := _content(route.answer, route.media, route.waited):
        whole["content"] = content
    if route.answer_headers:
        whole["headers"] = {each.name: _header(each) for each in route.answer_headers}
    if wire.RANGE not in route.headers:
        return {str(route.status): whole}
    headers = {**whole.get("headers", {}), wire.CONTENT_RANGE.name: _header(wire.CONTENT_RANGE)}
    part = {**whole, "description": "the range that was asked for", "headers": headers}
    return {str(route.status): whole, "206": part}


def _content(
    shape: type[msgspec.Struct] | None,
    media: Iterable[Media],
    waited: type[msgspec.Struct] | None = None,
) -> Json:
    content: Json = {}
    if shape and waited:
        content["application/json"] = _either(shape, waited)
    elif shape:
        content["application/json"] = {"schema": schemas.reference(shape)}
        if shape in EXAMPLES:
            content["application/json"]["example"] = EXAMPLES[shape]
    for each in media:
        content[each.name] = _medium(each)
    return content


def _either(at_once: type[msgspec.Struct], waited: type[msgspec.Struct]) -> Json:
    """The body of a client that does not wait, or of one that does, and what each looks like."""
    return {
        "schema": {"anyOf": [schemas.reference(waited), schemas.reference(at_once)]},
        "examples": {
            "atOnce": {"summary": "without `wait`", "value": EXAMPLES[at_once]},
            "waited": {"summary": "with `wait`", "value": EXAMPLES[waited]},
        },
    }


def _medium(media: Media) -> Json:
    """For a sequence the schema is that of one item: OpenAPI 3.1 has no word for more."""
    schema: Json = {"description": media.description}
    if media.shapes:
        schema["anyOf"] = [schemas.reference(each) for each in media.shapes]
    medium: Json = {"schema": schema}
    if media.example is not None:
        medium["example"] = media.example
    return medium


def _header(header: HeaderField) -> Json:
    example = int(header.example) if header.kind == "integer" else header.example
    schema: Json = {"type": header.kind}
    if header.pattern:
        schema["pattern"] = header.pattern
    return {"description": header.description, "schema": schema, "example": example}


def _failures(route: Route) -> dict[str, Json]:
    """The error answers by status; several errors may share one."""
    by_status: dict[int, set[type[JobWorkerError]]] = defaultdict(set)
    for error in route.all_errors:
        by_status[STATUS[error]].add(error)
    return {str(status): _failure(_by_code(by_status[status])) for status in sorted(by_status)}


def _failure(errors: Sequence[type[JobWorkerError]]) -> Json:
    codes = [error.code for error in errors]
    answer: Json = {
        "description": "; ".join(f"`{error.code}`: {error.summary}" for error in errors),
        "content": {
            "application/json": {
                "schema": {
                    "allOf": [
                        schemas.reference(ErrorAnswer),
                        {"properties": {"code": {"enum": codes}}},
                    ]
                },
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }
    sent = [set(_headers_of(error)) for error in errors]
    if any(sent):
        headers = sorted(set.union(*sent), key=lambda each: each.name)
        answer["headers"] = {
            each.name: {**_header(each), "required": all(each in some for some in sent)}
            for each in headers
        }
    return answer


def _headers_of(error: type[JobWorkerError]) -> Iterable[HeaderField]:
    yield from (wire.FIELDS[name] for name, _ in EXTRA_HEADERS.get(error, ()))
    if error is RangeNotSatisfiable:
        yield wire.CONTENT_RANGE


def _by_code(errors: Iterable[type[JobWorkerError]]) -> list[type[JobWorkerError]]:
    return sorted(errors, key=lambda error: error.code)


def _error_example(error: type[JobWorkerError]) -> Json:
    return {
        "summary": error.summary,
        "value": {"error": f"Error: {error.summary}", "code": error.code},
    }


def _types(routes: Sequence[Route]) -> list[type[msgspec.Struct]]:
    """Every type that a route names."""
    named: list[type[msgspec.Struct] | None] = [ErrorAnswer]
    for route in routes:
        named += [route.body, route.answer, route.waited]
        for media in (*route.media, *route.takes):
            named += media.shapes
    return list(dict.fromkeys(filter(None, named)))
