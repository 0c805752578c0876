"""From a value in TOML to ours; each function raises ``ValueError`` with what it must be."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any, TypeVar

from jobworker.units import parse_duration, parse_size

T = TypeVar("T")

MAX_BYTES = 2**60
MAX_SECONDS = 10 * 365 * 86_400.0
"""The most that a start request may ask for, too: ten years."""

_DIGEST = 64


def size(value: Any) -> int:
    """Bytes, as a number or like ``512M``."""
    number = parse_size(value) if isinstance(value, str) else value
    if not _is_whole(number) or not 1 <= number <= MAX_BYTES:
        raise ValueError("must be a size: bytes, or 512K, 512M, 1.5G, 1T")
    return int(number)


def duration(value: Any) -> float:
    """Seconds, as a number or like ``10m``."""
    number = parse_duration(value) if isinstance(value, str) else value
    if not _is_number(number) or not 0 < number <= MAX_SECONDS:
        raise ValueError("must be a duration above 0 and up to ten years: seconds, or 90s, 10m")
    return float(number)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A whole number within bounds."""

    def parse(value: Any) -> int:
        if not _is_whole(value) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return parse


def number(least: float, most: float) -> Callable[[Any], float]:
    """A number within bounds."""

    def parse(value: Any) -> float:
        if not _is_number(value) or not least <= value <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return float(value)

    return parse


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
