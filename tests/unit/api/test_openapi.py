"""The OpenAPI document: valid by others' measure, complete, and with examples that are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from jobworker.api import wire
from jobworker.api.answers import encode
from jobworker.api.document.examples import EXAMPLES
from jobworker.api.document.openapi import document, operation_id
from jobworker.api.errors import EXTRA_HEADERS, STATUS
from jobworker.api.route import Route
from jobworker.api.routes import ROUTES
from jobworker.api.views import EndFrame, GapFrame, OutputFrame
from jobworker.model import JobId

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(ROUTES)))
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]

JSON_TYPES = [
    shape
    for route in ROUTES
    for shape in (route.body, route.answer, route.waited)
    if shape is not None
]


def validator(schema: dict[str, Any]) -> OAS31Validator:
    """For ``schema``, whose references lead into the document."""
    return OAS31Validator({**schema, "components": DOCUMENT["components"]})


def test_it_is_openapi_3_1() -> None:
    errors = list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())
    assert not errors


def test_every_schema_is_a_schema() -> None:
    for schema in SCHEMAS.values():
        OAS31Validator.check_schema(schema)


@pytest.mark.parametrize("shape", JSON_TYPES, ids=lambda shape: str(shape.__name__))
def test_each_body_has_an_example_that_its_schema_allows(shape: type[msgspec.Struct]) -> None:
    validator(SCHEMAS[shape.__name__]).validate(EXAMPLES[shape])
    msgspec.convert(EXAMPLES[shape], shape)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_field_is_described(name: str) -> None:
    for field, schema in SCHEMAS[name].get("properties", {}).items():
        assert schema.get("description"), f"{name}.{field}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: str(each["operationId"]))
def test_each_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["description"].startswith(operation["summary"])
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    for parameter in operation["parameters"]:
        assert parameter["description"], parameter["name"]
    for status, answer in operation["responses"].items():
        assert answer["description"]
        assert answer.get("content") or status == "101", "an answer has a body"


def test_what_is_always_sent_is_required() -> None:
    """A default of a request is for who leaves it out, that of an answer is sent."""
    assert SCHEMAS["StartRequest"]["required"] == ["program"]
    assert set(SCHEMAS["IdAnswer"]["required"]) == {"id", "error"}
    assert "gaps" not in SCHEMAS["OutputAnswer"]["required"]


def test_error_answers_name_their_codes() -> None:
    answer = DOCUMENT["paths"]["/jobs/{id}/stop"]["post"]["responses"]["409"]
    content = answer["content"]["application/json"]
    allowed = validator(content["schema"])
    allowed.validate({"error": "Error: job not running", "code": "job_not_running"})
    assert not allowed.is_valid({"error": "Error: job not running", "code": "job_running"})
    assert list(content["examples"]) == ["job_not_running"]


def test_every_example_of_an_error_is_one() -> None:
    for example in DOCUMENT["components"]["examples"].values():
        validator(SCHEMAS["ErrorAnswer"]).validate(example["value"])


def test_headers_of_errors_are_told() -> None:
    responses = DOCUMENT["paths"]["/jobs/start"]["post"]["responses"]
    assert responses["401"]["headers"]["WWW-Authenticate"]["required"]
    assert responses["429"]["headers"]["Retry-After"]["required"]
    assert not responses["503"]["headers"]["Retry-After"]["required"], "not with start_failed"
    for error, headers in EXTRA_HEADERS.items():
        assert error in STATUS
        assert all(name in wire.FIELDS for name, _ in headers)


def test_a_new_job_leads_to_every_call_about_it() -> None:
    links = DOCUMENT["paths"]["/jobs/start"]["post"]["responses"]["201"]["links"]
    assert set(links) == {operation_id(route) for route in ROUTES if route.about_job}


def test_the_pattern_of_an_id_is_that_of_ids() -> None:
    schema = {"type": "string", "pattern": JobId.PATTERN}
    assert validator(schema).is_valid(str(JobId.new()))
    assert not validator(schema).is_valid(f"{JobId.new()}x")


def frames(media: wire.Media) -> Iterator[dict[str, Any]]:
    """The frames of an example, which are the JSON of each line or each ``data:``."""
    assert media.example
    for line in media.example.splitlines():
        name, colon, rest = line.partition(": ")
        if line.startswith("{") or (colon and name == "data"):
            yield msgspec.json.decode(line if line.startswith("{") else rest)


@pytest.mark.parametrize("media", [wire.FRAMES_AS_LINES, wire.FRAMES_AS_EVENTS])
def test_frames_are_as_their_example_says(media: wire.Media) -> None:
    assert media.shapes == (OutputFrame, GapFrame, EndFrame)
    (frame,) = frames(media)
    assert msgspec.json.decode(encode(msgspec.convert(frame, OutputFrame))) == frame


def test_a_route_with_other_media_types_tells_of_them() -> None:
    """Frames as lines and as events beside JSON, and what a client sends to go on."""
    base = next(route for route in ROUTES if route.path == "/jobs/{id}/output")
    route = Route(
        base.method,
        base.path,
        base.action,
        base.handler,
        base.answer,
        media=(wire.FRAMES_AS_LINES, wire.FRAMES_AS_EVENTS),
        headers=(wire.LAST_EVENT_ID,),
    )
    described = document([route])
    operation = described["paths"][route.path]["get"]
    content = operation["responses"]["200"]["content"]
    assert list(content) == ["application/json", "application/x-ndjson", "text/event-stream"]
    assert {"$ref": "#/components/schemas/EndFrame"} in content["text/event-stream"]["schema"][
        "anyOf"
    ]
    assert [each["name"] for each in operation["parameters"]] == ["id", "Last-Event-ID"]
    assert not list(OpenAPIV31SpecValidator(described).iter_errors())
