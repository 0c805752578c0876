"""Bodies: whatever comes is either understood whole or refused with the field's name."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobworker.api.bodies import StartRequest, StopBody
from jobworker.api.decode import decode_body, decode_query, idempotency_key
from jobworker.api.fields import Request
from jobworker.api.query import ListQuery, NoQuery
from jobworker.errors import InvalidRequest

JSON = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "program"),
        (b"{}", "program"),
        (b"[]", None),
        (b'"text"', None),
        (b'{"program": 5}', "program"),
        (b'{"program": null}', "program"),
        (b'{"program": "/x", "args": "y"}', "args"),
        (b'{"program": "/x", "args": [true]}', "args[0]"),
        (b'{"program": "/x", "args": ["a", null]}', "args[1]"),
        (b'{"program": "/x", "args": [[]]}', "args[0]"),
        (b'{"program": "/x", "args": [{"base64": 1}]}', "args[0].base64"),
        (b'{"program": "/x", "args": [{"base64": "", "z": 1}]}', "args[0].z"),
        (b'{"program": "/x", "args": [1e999]}', "args[0]"),
        (b'{"program": "/x", "args": [' + b"9" * 5000 + b"]}", "args[0]"),
        (b'{"program": "/x", "args": [NaN]}', None),
        (b'{"program": "/x", "env": {"A": 1}}', "env"),
        (b'{"program": "/x", "labels": {"' + b"k" * 257 + b'": "v"}}', "labels"),
        (b'{"program": "/x", "name": "' + b"n" * 257 + b'"}', "name"),
        (b'{"program": "/x", "colour": "red"}', "colour"),
        (b'{"program": "/x", "program": "/y"}', "program"),
        (b'{"program": "/x", "env": {"A": "1", "A": "2"}}', "A"),
        (b'{"program": "/x"} {}', None),
        (b'{"program": "/x"', None),
        (b'{"program": "\\ud800"}', None),
        (b'{"program": "\\udc80"}', None),
        (b'{"program": "\xff"}', None),
        (b'\xef\xbb\xbf{"program": "/x"}', None),
        (b"\0", None),
        (b"[" * 1_000_000, None),
        (b'{"program": "/x", "args": ' + b"[" * 100_000, "args[0]"),
        (b'{"program": "/x", "colour": ' + b"[" * 100_000, "colour"),
    ],
)
def test_broken_bodies(body: bytes, field: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(JSON, body, StartRequest)
    assert caught.value.field == field
    assert len(str(caught.value)) < 600


class Unbounded(Request, frozen=True):
    """A body with any number of names."""

    names: dict[str, str]


def test_a_name_given_twice_is_found_in_one_pass() -> None:
    """T82: a look from each name to all others took 22 s for 300 KB; this would take hours."""
    names = [f"{number:06}" for number in range(400_000)]
    members = ",".join(f'"{name}":""' for name in (*names, names[-1]))
    with pytest.raises(InvalidRequest) as refused:
        decode_body(JSON, b'{"names": {' + members.encode() + b"}}", Unbounded)
    assert refused.value.field == "399999"


@pytest.mark.parametrize("grace", [b"-1", b"1e9", b'"5"', b"true", b"NaN", b"Infinity", b"null"])
def test_broken_graces(grace: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_body(JSON, b'{"grace": ' + grace + b"}", StopBody)


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON;charset=UTF-8", b"application/json "]
)
def test_the_forms_of_the_content_type(content_type: bytes) -> None:
    body = decode_body([(b"content-type", content_type)], b'{"grace": 1}', StopBody)
    assert body == StopBody(grace=1)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING, st.sampled_from([StartRequest, StopBody]))
def test_any_json_is_taken_or_refused(value: Any, shape: type[Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        decode_body(JSON, json.dumps(value).encode(), shape)


@given(st.fixed_dictionaries({"program": ANYTHING}, optional={"args": ANYTHING, "env": ANYTHING}))
def test_any_json_in_the_right_places_is_taken_or_refused(value: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        decode_body(JSON, json.dumps(value).encode(), StartRequest)


@given(st.binary(min_size=1))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        decode_body(JSON, raw, StartRequest)


@given(st.binary())
@example(b"limit=\xff")
@example(b"%00=%00")
@example(b"label=%ff")
@example(b"=&=")
def test_any_query_is_taken_or_refused(raw: bytes) -> None:
    for shape in (ListQuery, NoQuery):
        with contextlib.suppress(InvalidRequest):
            decode_query(raw, shape)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"abc", "abc"),
        (b'"abc"', "abc"),
        (b'  "abc"\t', "abc"),
        (b'"a\\"b\\\\c"', 'a"b\\c'),
        (b'a"b\\c', 'a"b\\c'),
        (b'""', ""),
        (b"", ""),
        (b"\xe9", "é"),
    ],
)
def test_an_idempotency_key_bare_or_quoted(value: bytes, key: str) -> None:
    """What a key may be is judged elsewhere."""
    assert idempotency_key([(b"host", b"x"), (b"idempotency-key", value)]) == key


@pytest.mark.parametrize(
    "values", [[b"a", b"a"], [b'"'], [b'"a'], [b'"a\\"'], [b'"a"b"'], [b'"a";q=1'], [b'"\\a"']]
)
def test_what_names_no_idempotency_key(values: list[bytes]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        idempotency_key([(b"idempotency-key", value) for value in values])
    assert caught.value.field == "Idempotency-Key"


def test_without_the_header_there_is_no_idempotency_key() -> None:
    assert idempotency_key(JSON) is None


@pytest.mark.parametrize("text", ["0.5", "1764000000", "2026-11-24", "2026-11-24T12:00:00", "now"])
def test_a_time_in_a_query_is_rfc_3339_with_its_offset(text: str) -> None:
    """A number is none, though it could be taken for seconds since 1970."""
    with pytest.raises(InvalidRequest) as caught:
        decode_query(f"since={text}".encode(), ListQuery)
    assert caught.value.field == "since"


def test_a_time_in_a_query() -> None:
    query = decode_query(b"until=2026-11-24T12:00:00%2B01:00", ListQuery)
    assert query.until == datetime(2026, 11, 24, 11, tzinfo=UTC)
