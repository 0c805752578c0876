"""Reading what a client sent: credentials, query and body, each checked whole."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from jobworker.api.asgi import Receive
from jobworker.api.complaints import complaint
from jobworker.api.fields import MAX_BODY
from jobworker.errors import (
    BadAuthentication,
    BodyTooLarge,
    InvalidRequest,
    RequestTimedOut,
    UnsupportedMediaType,
)

Headers = list[tuple[bytes, bytes]]

BODY_PAUSE = 10.0
"""Most seconds between two pieces of a body: a client that drips it is let go."""

BODY_BUDGET = 60.0
"""Most seconds for a whole body: the largest then needs 500 KB a second."""

BODY_RATE = 16 * 1024
"""Bytes a second that a body has to come with, ``BODY_PAUSE`` seconds beside: less than any
line that people work on, and much more than a client needs that only wants to hold a place."""

_TOKEN = re.compile(rb"Bearer ([A-Za-z0-9._~+/=-]{1,1024})")
_JSON = re.compile(rb'application/json *(; *charset *= *"?utf-8"?)? *', re.IGNORECASE)
_KEY_HEADER = "Idempotency-Key"
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_PLACE = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?", re.DOTALL)
_MEMBER = re.compile(r"(?:missing required|contains unknown) field `(.*)`", re.DOTALL)


def bearer_token(headers: Headers) -> str:
    """The token of the one ``Authorization`` header; raises ``BadAuthentication``."""
    values = [value for name, value in headers if name == b"authorization"]
    match = _TOKEN.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise BadAuthentication
    return match[1].decode("ascii")


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, or None."""
    return next((value for key, value in headers if key == name), None)


def idempotency_key(headers: Headers) -> str | None:
    """The key of the one ``Idempotency-Key`` header, bare or as a quoted string; None without.

    The quoted string is that of RFC 8941. What a key may be is up to who records it. Raises
    ``InvalidRequest``.
    """
    values = [value for name, value in headers if name == b"idempotency-key"]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("Idempotency-Key is given twice", field=_KEY_HEADER)
    text = values[0].strip(b" \t").decode("latin-1")
    if not text.startswith('"'):
        return text
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        raise InvalidRequest(
            "Idempotency-Key begins with a quote, and is no quoted string", field=_KEY_HEADER
        )
    return re.sub(r"\\(.)", r"\1", quoted[1])


def declared_length(headers: Headers) -> int | None:
    """The length of the body as the client says; None where it does not say."""
    declared = header(headers, b"content-length")
    return int(declared[:20]) if declared is not None and declared.isdigit() else None


def decode_query(raw: bytes, shape: type[msgspec.Struct]) -> Any:
    """The query string as a ``shape``; raises ``InvalidRequest`` naming the parameter."""
    lists, singles, times = _parameters_of(shape)
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:
        raise InvalidRequest("the query string is not percent-encoded UTF-8") from None
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidRequest(f"parameter {name} is given twice", field=name)
        elif name in singles:
            values[name] = value
        else:
            raise _unknown_parameter(name, lists | singles)
    try:
        for name in times & values.keys():
            values[name] = _time(name, values[name])
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, "the query", typed=False) from None


def _time(name: str, text: str) -> datetime:
    """A time as RFC 3339 writes it: decoded with the rest, a number would be one, too."""
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{error} - at `$.{name}`") from None


def _room_for(_: int) -> None:
    """Has room for any number of bytes."""


async def read_body(
    headers: Headers,
    receive: Receive,
    most: int = MAX_BODY,
    make_room: Callable[[int], None] = _room_for,
) -> bytes:
    """The whole body, of at most ``most`` bytes.

    What the client says of its length only serves to refuse early. ``make_room`` is told how
    many bytes there are before more are taken, and raises where there is no room for them.

    Raises ``BodyTooLarge``, ``InvalidRequest`` or ``RequestTimedOut``.
    """
    if (declared_length(headers) or 0) > most:
        raise _too_large(most)
    pieces: list[bytes] = []
    size = 0
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(BODY_PAUSE) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # The client left, or what it sent is no HTTP: a chunk without a size.
                    raise InvalidRequest(f"the request body breaks off after {size} bytes")
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                make_room(size)
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces)
                in_time = min(BODY_BUDGET, BODY_PAUSE + size / BODY_RATE)
                deadline.reschedule(min(now() + BODY_PAUSE, began + in_time))
    except TimeoutError:
        raise RequestTimedOut(f"only {size} bytes of the request body came in time") from None


def decode_body(headers: Headers, raw: bytes, shape: type[msgspec.Struct]) -> Any:
    """The body as a ``shape``; raises ``UnsupportedMediaType`` or ``InvalidRequest``.

    No body at all stands for an empty object.
    """
    if not raw:
        raw = b"{}"
    elif not _JSON.fullmatch(header(headers, b"content-type") or b""):
        raise UnsupportedMediaType
    elif header(headers, b"content-encoding") is not None:
        raise UnsupportedMediaType("the body must not be compressed", field="Content-Encoding")
    try:
        value = _decoder(shape).decode(raw)
        json.loads(raw, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise invalid(error, "the body") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {_reason(error)}") from None
    return value


@cache
def _decoder(shape: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


class _Parameters(NamedTuple):
    """The names of parameters: those that may be repeated, the others, and of these the times."""

    lists: frozenset[str]
    singles: frozenset[str]
    times: frozenset[str]


@cache
def _parameters_of(shape: type[msgspec.Struct]) -> _Parameters:
    fields = msgspec.structs.fields(shape)
    lists = frozenset(each.encode_name for each in fields if isinstance(each.default_factory, type))
    types = get_type_hints(shape)
    times = frozenset(each.encode_name for each in fields if datetime in _parts(types[each.name]))
    return _Parameters(lists, frozenset(each.encode_name for each in fields) - lists, times)


def _parts(kind: Any) -> tuple[Any, ...]:
    """A type, or the types that a union is made of."""
    return get_args(kind) or (kind,)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a name given twice: two readers of one body must not see two requests."""
    value = dict(pairs)
    if len(value) != len(pairs):
        # In one pass, as a client may send any number of names before the one that it repeats.
        left = dict.fromkeys(value)
        twice = next(name for name, _ in pairs if left.pop(name, name) is not None)
        raise InvalidRequest(f"{twice[:80]!r} is given twice in one object", field=twice[:80])
    return value


def invalid(error: msgspec.ValidationError, whole: str, *, typed: bool = True) -> InvalidRequest:
    """The error for msgspec's message ``… - at `$.args[0]```; it names the field ``args[0]``.

    It says of which type a value is where that is for the client to choose (``typed``).
    """
    match = _PLACE.fullmatch(str(error))
    assert match is not None
    what, place = match["what"], match["path"] or ""
    path = place.removesuffix("[...]")
    member = _MEMBER.search(what)
    field = ".".join(filter(None, (path, member[1] if member else "")))[:200]
    subject = f"a value in {field}" if path != place else field or whole
    return InvalidRequest(f"{subject} {complaint(what, typed=typed)[:300]}", field=field or None)


def _unknown_parameter(name: str, known: frozenset[str]) -> InvalidRequest:
    hint = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
    return InvalidRequest(f"unknown parameter {name[:80]!r}", field=name[:80], hint=hint)


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {most} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:200].replace("Input data was truncated", "it breaks off")
