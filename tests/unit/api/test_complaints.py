"""What is wrong with a request is told in words of the field's own, and none of a library's."""

from __future__ import annotations

import json

import pytest

from jobworker.api.bodies import ExtendRequest, SignalBody, StartRequest
from jobworker.api.decode import decode_body, decode_query
from jobworker.api.query import ListQuery, OutputQuery
from jobworker.errors import InvalidRequest

HEADERS = [(b"content-type", b"application/json")]


def refused(body: object, shape: type = StartRequest) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequest) as caught:
        decode_body(HEADERS, raw, shape)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"program": 5}, "program must be a string, not a whole number"),
        ({"args": 5}, "args must be a list, not a whole number"),
        ({"args": [None]}, "args[0] must be a number, a string or an object, not null"),
        ({"args": [{"a": 1}]}, "args[0].a is not known here"),
        ({"env": {"A": None}}, "a value in env must be a string, not null"),
        ({"labels": {"a": 1}}, "a value in labels must be a string, not a whole number"),
        ({"labels": [1]}, "labels must be an object, not a list"),
        ({"name": "x" * 300}, "name must have at most 256 characters"),
        ({"timeout": "5"}, "timeout must be a number or null, not a string"),
        ({"timeout": -1}, "timeout must be at least 0.001"),
        ({"network": "no"}, "network must be true or false, not a string"),
        ({"containment": "strong"}, "containment cannot be 'strong'"),
        ({"nonsense": 1}, "nonsense is not known here"),
        (
            {"limits": {"memory": 5.5}},
            "limits.memory must be a whole number or null, not a number with a point",
        ),
    ],
)
def test_a_field_that_is_wrong(fields: dict[str, object], words: str) -> None:
    assert refused({"program": "/bin/true"} | fields) == words


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{}", "program is missing"),
        (b"[]", "the body must be an object, not a list"),
        (b'{"program"', "the body is not JSON: it breaks off"),
        (b'{"program":"\xff"}', "the body is not JSON: not UTF-8"),
    ],
)
def test_a_body_that_is_wrong(raw: bytes, words: str) -> None:
    assert refused(raw) == words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"limit=x", "limit must be a whole number"),
        (b"limit=0", "limit must be at least 1"),
        (b"since=5", "since must be a time as in RFC 3339: 2026-01-31T12:00:00Z"),
        (b"since=2026-01-01T00:00:00", "since must be a time with its zone, such as Z"),
        (b"status=x", "status cannot be 'x'"),
    ],
)
def test_a_parameter_that_is_wrong(query: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_query(query, ListQuery)
    assert str(caught.value) == words


WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e300,
    "",
    "x" * 70_000,
    [],
    [[]],
    {},
    {"": None},
    {"base64": "!"},
)


@pytest.mark.parametrize("shape", [StartRequest, SignalBody, ExtendRequest])
def test_no_word_of_the_library_is_told(shape: type) -> None:
    """Whatever is put in whichever field."""
    told = []
    for field in (*StartRequest.__struct_encode_fields__, "signal", "seconds"):
        for value in WRONG:
            fields = {"program": "/bin/true", field: value}
            try:
                decode_body(HEADERS, json.dumps(fields).encode(), shape)
            except InvalidRequest as error:
                told.append(str(error))
    for query in ("limit", "since", "until", "status", "tail", "follow", "after", "stream"):
        for text in ("", "x", "-1", "1.5", "99999999999999999999"):
            for parameters in (ListQuery, OutputQuery):
                try:
                    decode_query(f"{query}={text}".encode(), parameters)
                except InvalidRequest as error:
                    told.append(str(error))
    assert len(told) > 100
    for words in ("xpected", "`", "Object", "Invalid", "enum", "$."):
        assert [text[:200] for text in told if words in text] == []
