"""From a value in TOML to ours; each function raises ``ValueError`` with what it must be."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any, TypeVar

from jobworker.limits import Range
from jobworker.units import parse_duration, parse_size

T = TypeVar("T")

_DIGEST = 64


def size(bounds: Range) -> Callable[[Any], int]:
    """Bytes within bounds, as a number or like ``512M``."""

    def parse(value: Any) -> int:
        number = parse_size(value) if isinstance(value, str) else value
        if not _is_whole(number) or number not in bounds:
            raise ValueError("must be a size: bytes, or 512K, 512M, 1.5G, 1T")
        return int(number)

    return parse


def duration(bounds: Range) -> Callable[[Any], float]:
    """Seconds above 0 and up to the most, as a number or like ``10m``."""

    def parse(value: Any) -> float:
        number = parse_duration(value) if isinstance(value, str) else value
        if not _is_number(number) or not 0 < number <= bounds.most:
            raise ValueError(
                f"must be a duration above 0 and up to {bounds.most_text}: seconds, or 90s, 10m"
            )
        return float(number)

    return parse


def whole(bounds: Range) -> Callable[[Any], int]:
    """A whole number within bounds."""

    def parse(value: Any) -> int:
        if not _is_whole(value) or value not in bounds:
            raise ValueError(f"must be a whole number {bounds}")
        return int(value)

    return parse


def number(bounds: Range) -> Callable[[Any], float]:
    """A number within bounds."""

    def parse(value: Any) -> float:
        if not _is_number(value) or value not in bounds:
            raise ValueError(f"must be a number {bounds}")
        return float(value)

    return parse


NONE = "none"
"""No bound, where one would hold if nothing was said."""


def or_none(parse: Callable[[Any], T]) -> Callable[[Any], T | str]:
    """Such a value, or ``none``."""

    def parse_one(value: Any) -> T | str:
        return NONE if value == NONE else parse(value)

    return parse_one


def boolean(value: Any) -> bool:
    """``true`` or ``false``."""
    if value in (True, False) and isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def text(value: Any) -> str:
    """Printable text on one line, as names are."""
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 256:
        raise ValueError("must be a string of 1 to 256 printable characters")
    return value


def one_of(*words: T) -> Callable[[Any], T]:
    """One of the words."""

    def parse(value: Any) -> T:
        for word in words:
            if isinstance(value, str) and value == word:
                return word
        raise ValueError(f"must be {' or '.join(f'{word!s}' for word in words)}")

    return parse


def several(parse: Callable[[Any], T], *, empty: bool = False) -> Callable[[Any], tuple[T, ...]]:
    """A list of such values; one without any only where that is said to mean something."""

    def parse_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not (value or empty):
            raise ValueError(
                "must be a list with something in it" if not empty else "must be a list"
            )
        return tuple(map(parse, value))

    return parse_all


def pattern(value: Any) -> str:
    """A pattern for an argument or variable; it may be empty or hold anything."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must hold strings")
    return value


def program(value: Any) -> str:
    """An absolute path or pattern, in the one form in which paths are compared."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("must hold absolute paths")
    if any(part in ("", ".", "..") for part in value.split("/")[1:]):
        raise ValueError(
            f"must hold paths without '//', '.', '..' or '/' at the end, not {value!r}"
        )
    return value


def directory(value: Any) -> str:
    """An absolute path of a directory, in the form of ``program``."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return "/" if value == "/" else program(value)


def digests(value: Any) -> frozenset[str]:
    """One SHA-256 in hexadecimal, or a list of them."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(map(_is_digest, found)):
        raise ValueError("must be the 64 hexadecimal digits of a SHA-256, or a list of such")
    return frozenset(one.lower() for one in found)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _DIGEST and set(value) <= set(string.hexdigits)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
