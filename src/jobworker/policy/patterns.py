"""Patterns with ``*`` and ``?``, neither of which crosses a slash or a line's end. Pure.

Every other character stands for itself: there are no classes and no escapes. A pattern
must match the whole text. Only for a denial they do cross a line's end (``across_lines``):
there a text too many is the safe side. Texts come from clients, so the time is bounded by the
product of both lengths whatever they hold: a group that has matched is not tried anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

REST = "..."
"""As the last pattern of arguments: any further ones, also none."""


def matches(pattern: str, text: str, *, across_lines: bool = False) -> bool:
    """Whether the whole of ``text`` has the form of ``pattern``."""
    return _compiled(pattern, across_lines).fullmatch(text) is not None


def matches_any(patterns: Sequence[str], text: str, *, across_lines: bool = False) -> bool:
    """Whether ``text`` has the form of one of ``patterns``."""
    return _any_of(tuple(patterns), across_lines).fullmatch(text) is not None


def arguments_match(
    patterns: Sequence[str], args: Sequence[str], *, across_lines: bool = False
) -> bool:
    """Whether ``args`` have the forms of ``patterns``, one by one."""
    if patterns and patterns[-1] == REST:
        patterns = patterns[:-1]
        args = args[: len(patterns)]
    return len(patterns) == len(args) and all(
        matches(pattern, text, across_lines=across_lines)
        for pattern, text in zip(patterns, args, strict=True)
    )


def is_pattern(text: str) -> bool:
    """Whether it may match more than the text that it is."""
    return "*" in text or "?" in text


def fixed_directory(pattern: str) -> str:
    """The directory that everything matched by an absolute pattern is below."""
    first = min((at for at in (pattern.find("*"), pattern.find("?")) if at >= 0), default=None)
    return pattern[:first].rpartition("/")[0] or "/"


@lru_cache(maxsize=4096)
def _compiled(pattern: str, across_lines: bool) -> re.Pattern[str]:  # noqa: FBT001 - a key of the cache
    """An expression that takes each piece between stars where it comes first.

    That is never worse than later, so an atomic group may hold it (as in fnmatch).
    """
    one = "[^/]" if across_lines else r"[^/\n]"
    first, *others = (one.join(map(re.escape, piece.split("?"))) for piece in pattern.split("*"))
    if not others:
        return re.compile(first)
    *middle, last = others
    stars = "".join(f"(?>{one}*?{piece})" for piece in middle if piece)
    return re.compile(f"{first}{stars}{one}*{last}")


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...], across_lines: bool) -> re.Pattern[str]:  # noqa: FBT001 - the same
    """One expression for all of them: a client may send thousands of names to compare."""
    if not patterns:
        return re.compile(r"(?!)")  # which nothing matches
    each = (f"(?:{_compiled(pattern, across_lines).pattern})" for pattern in patterns)
    return re.compile("|".join(each))
