"""The OpenAPI 3.1 document, made from the table of routes and the types that validate."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from jobworker.api.errors import STATUS
from jobworker.api.route import Route
from jobworker.errors import RangeNotSatisfiable
from jobworker.schema import ErrorAnswer
from jobworker.version import VERSION

_REF = "#/components/schemas/{name}"
_ERROR = {"$ref": _REF.format(name=ErrorAnswer.__name__)}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_JOB_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the ID that the start answered with",
    "schema": {"type": "string", "examples": ["j-8f14e45f-ceea-4e7a-9c3b-2f0a1d5b6c7d"]},
}
_RANGE = {
    "name": "Range",
    "in": "header",
    "required": False,
    "description": "one range of bytes; without follow",
    "schema": {"type": "string", "examples": ["bytes=0-1023"]},
}

Json = dict[str, Any]


def document(routes: Sequence[Route]) -> bytes:
    """The document for ``routes``, as JSON."""
    paths: dict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Job worker",
                "version": VERSION,
                "description": "Runs programs as jobs. Every answer in JSON carries `error`: "
                "null, or a sentence that begins with `Error: `.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": _schemas(routes),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def operation_id(route: Route) -> str:
    """A name for the route that generated clients can use: ``get_jobs_id_output``."""
    return re.sub(r"[^a-z]+", "_", f"{route.method} {route.path}".lower()).strip("_")


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": operation_id(route),
        "summary": (route.handler.__doc__ or "").partition("\n")[0].rstrip("."),
        "security": [] if route.public else [{"bearer": []}],
        "parameters": list(_parameters(route)),
        "responses": {str(route.status): _success(route), **_failures(route)},
    }
    if route.body:
        operation["requestBody"] = {
            "required": any(each.required for each in msgspec.structs.fields(route.body)),
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    return operation


def _parameters(route: Route) -> Iterable[Json]:
    if route.about_job:
        yield _JOB_ID
    if RangeNotSatisfiable in route.errors:
        yield _RANGE
    _, components = msgspec.json.schema_components([route.query], ref_template=_REF)
    for name, schema in components[route.query.__name__].get("properties", {}).items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _success(route: Route) -> Json:
    content = {"application/json": {"schema": _reference(route.answer)}} if route.answer else _BYTES
    return {"description": "success", "content": content}


def _failures(route: Route) -> dict[str, Json]:
    """The error answers by status; several errors may share one."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for error in route.all_errors:
        by_status[STATUS[error]].append(f"`{error.code}`: {error.summary}")
    return {
        str(status): {
            "description": "; ".join(texts),
            "content": {"application/json": {"schema": _ERROR}},
        }
        for status, texts in sorted(by_status.items())
    }


def _reference(shape: type[msgspec.Struct]) -> Json:
    return {"$ref": _REF.format(name=shape.__name__)}


def _schemas(routes: Sequence[Route]) -> Json:
    """Every type that a route names, and every type that those use."""
    types: dict[str, type[msgspec.Struct]] = {ErrorAnswer.__name__: ErrorAnswer}
    for route in routes:
        for shape in (route.body, route.answer, route.query):
            if shape is not None:
                types[shape.__name__] = shape
    _, components = msgspec.json.schema_components(list(types.values()), ref_template=_REF)
    return dict(components)
