"""The place of a key in a TOML file, for messages: tomllib keeps no positions. Pure."""

from __future__ import annotations

from collections import Counter

Key = tuple[str | int, ...]
"""A key from the top of the file; a number is the place in an array, from 0."""


def key_text(key: Key) -> str:
    """A key as people write it, counting from 1: ``policy.rules[2].programs``."""
    text = ""
    for part in key:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def line_of(key: Key, text: str) -> int:
    """The line that sets ``key``, or of the nearest table around it; 1 where there is none."""
    line, depth = 1, 0
    header: Key = ()
    tables: Counter[Key] = Counter()
    for number, content in enumerate(text.splitlines(), 1):
        stripped = content.strip()
        if stripped.startswith("[["):
            name = _parts(stripped.strip("[").partition("]")[0])
            header = (*name, tables[name])
            tables[name] += 1
            here = header
        elif stripped.startswith("["):
            here = header = _parts(stripped.strip("[").partition("]")[0])
        elif "=" in stripped:
            here = (*header, *_parts(stripped.partition("=")[0]))
        else:
            continue
        if len(here) > depth and here == key[: len(here)]:
            line, depth = number, len(here)
    return line


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
