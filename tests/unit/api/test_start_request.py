"""From the body of a start to a spec: every rule, and what it says when it is broken."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.api.bodies import StartRequest
from jobworker.api.fields import MAX_STDIN
from jobworker.api.resources.start_request import MAX_STRING, MAX_STRINGS, spec_from, stdin_from
from jobworker.errors import BodyTooLarge, InvalidRequest
from jobworker.model import Input, Spec


def spec(**fields: Any) -> Spec:
    body = {"program": "/bin/true", **fields}
    return spec_from(msgspec.convert(body, StartRequest))


def test_everything_that_can_be_asked_for() -> None:
    assert spec(
        program="/bin/echo",
        args=["a", 5, 1.5, -3],
        env={"LANG": "C", "EMPTY": ""},
        cwd="/",
        name="greet",
        labels={"team": "web"},
    ) == Spec(
        program="/bin/echo",
        args=("a", "5", "1.5", "-3"),
        env={"LANG": "C", "EMPTY": ""},
        cwd="/",
        name="greet",
        labels={"team": "web"},
    )


@given(st.binary().filter(lambda raw: b"\0" not in raw))
def test_arguments_that_are_not_utf_8_reach_the_program_unchanged(raw: bytes) -> None:
    """T50."""
    (text,) = spec(args=[{"base64": base64.b64encode(raw).decode()}]).args
    assert text.encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"program": ""}, "program"),
        ({"program": "echo"}, "program"),
        ({"program": "./echo"}, "program"),
        ({"program": "/bin/\0echo"}, "program"),
        ({"program": "/" + "x" * 4095}, "program"),
        ({"cwd": "home"}, "cwd"),
        ({"cwd": ""}, "cwd"),
        ({"cwd": "/\0"}, "cwd"),
        ({"args": ["a", "b\0"]}, "args[1]"),
        ({"args": [{"base64": "AA=="}]}, "args[0]"),
        ({"args": [{"base64": "not base64"}]}, "args[0].base64"),
        ({"args": [{"base64": "é"}]}, "args[0].base64"),
        ({"args": ["x" * MAX_STRING]}, "args[0]"),
        ({"args": ["é" * (MAX_STRING // 2)]}, "args[0]"),
        ({"args": ["x" * 100_000] * 21}, "args"),
        ({"args": [""] * (MAX_STRINGS // 9)}, "args"),
        ({"env": {"": "x"}}, "env"),
        ({"env": {"A=B": "x"}}, "env"),
        ({"env": {"A\0": "x"}}, "env"),
        ({"env": {"A": "x\0"}}, "env.A"),
        ({"env": {"A": "x" * (MAX_STRING - 2)}}, "env.A"),
        ({"name": "\0"}, "name"),
        ({"labels": {"a\0": "b"}}, "labels"),
        ({"labels": {"a": "b\0"}}, "labels.a"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        spec(**fields)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300


def test_the_longest_strings_that_the_kernel_passes_on() -> None:
    assert spec(args=["x" * (MAX_STRING - 1)])
    assert spec(env={"A": "x" * (MAX_STRING - 3)})
    assert spec(args=["x" * 100_000] * 20)
    assert spec(program="/" + "x" * 4094)


@pytest.mark.parametrize(
    ("body", "source", "data"),
    [
        ({}, None, None),
        ({"stdin": "grüße"}, Input.of("grüße".encode()), "grüße".encode()),
        ({"stdin": ""}, Input.of(b""), b""),
        ({"stdin": {"base64": "/wA="}}, Input.of(b"\xff\0"), b"\xff\0"),
        ({"input": "pipe"}, Input("pipe"), None),
        ({"input": "terminal"}, Input("terminal", rows=24, cols=80), None),
        (
            {"input": "terminal", "window": {"rows": 50, "cols": 200}},
            Input("terminal", rows=50, cols=200),
            None,
        ),
    ],
)
def test_where_standard_input_comes_from(
    body: dict[str, object], source: Input | None, data: bytes | None
) -> None:
    request = msgspec.convert({"program": "/bin/cat", **body}, StartRequest)
    stdin = stdin_from(request)
    assert (spec_from(request, stdin).input, stdin) == (source, data)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stdin": "x", "input": "pipe"}, "input"),
        ({"stdin": {"base64": "?"}}, "stdin.base64"),
        ({"window": {"rows": 1, "cols": 1}}, "window"),
        ({"input": "pipe", "window": {"rows": 1, "cols": 1}}, "window"),
    ],
)
def test_input_that_makes_no_sense(body: dict[str, object], field: str) -> None:
    request = msgspec.convert({"program": "/bin/cat", **body}, StartRequest)
    with pytest.raises(InvalidRequest) as raised:
        spec_from(request, stdin_from(request))
    assert raised.value.field == field


def test_more_input_than_can_come_with_a_start() -> None:
    request = StartRequest(program="/bin/cat", stdin="x" * (MAX_STDIN + 1))
    with pytest.raises(BodyTooLarge) as raised:
        stdin_from(request)
    assert raised.value.field == "stdin"
