"""The words for a value that is not what it must be, in place of msgspec's own."""

from __future__ import annotations

import re
from collections.abc import Callable

_NAMES = {
    "array": "a list",
    "bool": "true or false",
    "bytes": "base64",
    "datetime": "a time as in RFC 3339",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
"""The types of JSON, and of what is written in its strings, by msgspec's names for them."""

_GIVEN = _NAMES | {"bool": "a boolean", "float": "a number with a point"}
_COUNTED = {"str": "characters", "array": "elements", "object": "members"}

_OTHER_TYPE = re.compile(r"Expected `(?P<wanted>[a-z |]+)`, got `(?P<given>[a-z]+)`")
_LENGTH = re.compile(r"Expected `(?P<kind>[a-z]+)` of length (?P<how><=|>=) (?P<bound>\d+)")
_BOUND = re.compile(r"Expected `[a-z]+` (?P<how><=|>=|<|>) (?P<bound>\S+)")
_MEMBER = re.compile(r"Object (?P<how>missing required|contains unknown) field `.*`", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)

_HOW = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_PLAIN = {
    "Number out of range": "is a number out of range",
    "Expected `datetime` with a timezone component": "must be a time with its zone, such as Z",
    "Invalid RFC3339 encoded datetime": "must be a time as in RFC 3339: 2026-01-31T12:00:00Z",
    "Invalid base64 encoded string": "must be base64",
}


def _other_type(match: re.Match[str]) -> str:
    return f"must be {_any_of(match['wanted'])}, not {_GIVEN.get(match['given'], 'that')}"


def _length(match: re.Match[str]) -> str:
    counted = _COUNTED.get(match["kind"], "elements")
    return f"must have {_HOW[match['how']]} {match['bound']} {counted}"


def _bound(match: re.Match[str]) -> str:
    return f"must be {_HOW[match['how']]} {match['bound'].removesuffix('.0')}"


_SENTENCES: dict[re.Pattern[str], Callable[[re.Match[str]], str]] = {
    _OTHER_TYPE: _other_type,
    _LENGTH: _length,
    _BOUND: _bound,
    _MEMBER: lambda match: (
        "is missing" if match["how"].startswith("missing") else "is not known here"
    ),
    _CHOICE: lambda match: f"cannot be {match['value']}",
}


def complaint(message: str, *, typed: bool = True) -> str:
    """The sentence, without its subject, that says what ``message`` of msgspec means.

    It ends with the type of what was given, where that is ``typed``.
    """
    if plain := _PLAIN.get(message):
        return plain
    for pattern, say in _SENTENCES.items():
        if match := pattern.fullmatch(message):
            return say(match) if typed else say(match).partition(", not ")[0]
    return message[:1].lower() + message[1:]


def _any_of(wanted: str) -> str:
    kinds = wanted.split(" | ")
    if "float" in kinds:  # a whole number is one, too
        kinds = [kind for kind in kinds if kind != "int"]
    *others, last = [_NAMES.get(kind, kind) for kind in kinds]
    return f"{', '.join(others)} or {last}" if others else last
