"""Suggestions for a word that ``jobctl`` does not know."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HABITS = {
    "cancel": "stop",
    "cat": "output",
    "delete": "rm",
    "describe": "show",
    "exec": "run",
    "get": "show",
    "inspect": "show",
    "jobs": "list",
    "kill": "stop",
    "log": "logs",
    "ls": "list",
    "ps": "list",
    "remove": "rm",
    "submit": "start",
    "tail": "output",
}
"""Verbs of other commands, and the similar ones here."""


def verb(word: str, known: Iterable[str]) -> str:
    """A question to put behind ``there is no verb``, or nothing."""
    meant = _HABITS.get(word) or _closest(word, known)
    return f"; did you mean {meant!r}?" if meant else ""


def option(word: str, known: Iterable[str]) -> str:
    """A question to put behind an unknown option, whose name is ``word``; or nothing."""
    meant = _closest(word, known) if len(word) > 1 else None
    return f"; did you mean --{meant}?" if meant else ""


def _closest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # only a mistake pays for it

    return next(iter(get_close_matches(word, list(known), 1)), None)
