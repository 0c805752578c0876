"""The client's reading of answers is the server's definition of them."""

from __future__ import annotations

import msgspec
import pytest

from jobworker.api import bodies, fields, limits, views
from jobworker.client import answers, requests

PAIRS = [
    (fields.RawArgument, answers.RawArgument),
    (views.IdAnswer, answers.IdAnswer),
    (views.SignalAnswer, answers.SignalAnswer),
    (views.ExtendAnswer, answers.ExtendAnswer),
    (views.CanStartAnswer, answers.CanStartAnswer),
    (limits.LimitsView, answers.LimitsView),
    (views.GapView, answers.GapView),
    (views.UsageView, answers.UsageView),
    (views.JobView, answers.JobView),
    (views.StartedJob, answers.StartedJob),
    (views.JobList, answers.JobList),
    (views.GapView, answers.GapView),
    (views.LineGapView, answers.LineGapView),
    (views.OutputAnswer, answers.OutputAnswer),
    (views.OutputFrame, answers.OutputFrame),
    (views.GapFrame, answers.GapFrame),
    (views.EndFrame, answers.EndFrame),
    (views.ErrorAnswer, answers.ErrorAnswer),
    (views.MeAnswer, answers.MeAnswer),
]


def shape(kind: type) -> object:
    """What a type allows, without names, descriptions and limits."""
    schemas, components = msgspec.json.schema_components([kind])
    return _inlined(schemas[0], components)


def _inlined(node: object, components: dict[str, object]) -> object:
    if isinstance(node, list):
        return [_inlined(item, components) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(components[node["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(value, components) for key, value in node.items()}


def without_details(node: object) -> object:
    """The client does not check again what the server has checked: enums, times, limits."""
    if isinstance(node, list):
        return sorted((without_details(item) for item in node), key=repr)
    if not isinstance(node, dict):
        return node
    if "properties" in node:
        return {name: without_details(value) for name, value in node["properties"].items()}
    if "enum" in node:
        text = {"type": "string"}
        return {"anyOf": [{"type": "null"}, text]} if None in node["enum"] else text
    kept = ("type", "anyOf", "items", "additionalProperties")
    return {key: without_details(node[key]) for key in kept if key in node}


@pytest.mark.parametrize(("definition", "reading"), PAIRS, ids=lambda kind: kind.__name__)
def test_an_answer_has_the_fields_and_types_of_the_schema(definition: type, reading: type) -> None:
    assert without_details(shape(reading)) == without_details(shape(definition))


@pytest.mark.parametrize(("definition", "reading"), PAIRS, ids=lambda kind: kind.__name__)
def test_only_what_may_be_missing_is_not_required(definition: type, reading: type) -> None:
    """What the server's type leaves out is what the client's type says may be missing."""
    may_miss = {
        field.encode_name
        for field in msgspec.structs.fields(definition)
        if field.default is msgspec.UNSET
    }
    assert reading.__optional_keys__ == may_miss  # type: ignore[attr-defined]


def test_every_answer_of_the_schema_is_read() -> None:
    """A new answer of the server has to get a reading, or to be named here."""
    defined = {
        kind
        for kind in vars(views).values()
        if isinstance(kind, type) and issubclass(kind, fields.Body) and kind is not fields.Body
    }
    not_for_this_client = {"HealthAnswer", "ReadyAnswer"}
    not_for_this_client |= {"Taken", "Over"}  # messages of a WebSocket, read as they are
    read = {definition for definition, _ in PAIRS}
    assert {kind.__name__ for kind in defined - read} <= not_for_this_client


@pytest.mark.parametrize(
    ("definition", "writing", "arguments"),
    [
        (limits.LimitsRequest, requests.LimitsRequest, set()),
        (bodies.StartRequest, requests.StartOptions, {"program", "args", "stdin"}),
        (bodies.CanStartRequest, requests.CanStartOptions, {"program", "args"}),
    ],
)
def test_what_may_be_sent_is_what_the_schema_takes(
    definition: type, writing: type, arguments: set[str]
) -> None:
    """But for what are arguments of the calls."""
    taken = without_details(shape(definition))
    assert isinstance(taken, dict)
    assert without_details(shape(writing)) == {
        name: kind for name, kind in taken.items() if name not in arguments
    }
