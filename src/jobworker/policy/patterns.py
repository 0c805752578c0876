"""Patterns with ``*`` and ``?``, neither of which crosses a slash. Pure.

Every other character stands for itself: there are no classes and no escapes. A pattern
must match the whole text. Texts come from clients, so the time is bounded by the
product of both lengths whatever they hold: a group that has matched is not tried anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

REST = "..."
"""As the last pattern of arguments: any further ones, also none."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of ``text`` has the form of ``pattern``."""
    return _compiled(pattern).fullmatch(text) is not None


def matches_any(patterns: Sequence[str], text: str) -> bool:
    """Whether ``text`` has the form of one of ``patterns``."""
    return _any_of(tuple(patterns)).fullmatch(text) is not None


def arguments_match(patterns: Sequence[str], args: Sequence[str]) -> bool:
    """Whether ``args`` have the forms of ``patterns``, one by one."""
    if patterns and patterns[-1] == REST:
        patterns = patterns[:-1]
        args = args[: len(patterns)]
    return len(patterns) == len(args) and all(map(matches, patterns, args))


def is_pattern(text: str) -> bool:
    """Whether it may match more than the text that it is."""
    return "*" in text or "?" in text


def fixed_directory(pattern: str) -> str:
    """The directory that everything matched by an absolute pattern is below."""
    first = min((at for at in (pattern.find("*"), pattern.find("?")) if at >= 0), default=None)
    return pattern[:first].rpartition("/")[0] or "/"


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """An expression that takes each piece between stars where it comes first.

    That is never worse than later, so an atomic group may hold it (as in fnmatch).
    """
    first, *others = (_literal(piece) for piece in pattern.split("*"))
    if not others:
        return re.compile(first)
    *middle, last = others
    stars = "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
    return re.compile(f"{first}{stars}[^/]*{last}")


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them: a client may send thousands of names to compare."""
    if not patterns:
        return re.compile(r"(?!)")  # which nothing matches
    return re.compile("|".join(f"(?:{_compiled(pattern).pattern})" for pattern in patterns))


def _literal(piece: str) -> str:
    return "[^/]".join(map(re.escape, piece.split("?")))
