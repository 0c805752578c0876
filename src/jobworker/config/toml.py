"""A TOML file as tables that know where they stand: what is wrong is told by file and line."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jobworker.config.place import Key, key_text, line_of
from jobworker.errors import ConfigurationInvalid

T = TypeVar("T")
Parser = Callable[[Any], Any]


def read(path: Path) -> tuple[dict[str, Any], Source]:
    """The content of a TOML file, and its text for messages; raises ``ConfigurationInvalid``."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), Source(str(path), text)
    except OSError as error:
        why = str(error.strerror)
    except UnicodeDecodeError:
        why = "it is not UTF-8 text"
    except RecursionError:
        why = "it is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        why = f"it is not TOML: {error}"
    raise ConfigurationInvalid(f"cannot read {path}: {why}")


@dataclass(frozen=True, slots=True)
class Source:
    """The file, for messages about it."""

    path: str
    text: str

    def complaint(self, key: Key, why: str) -> ConfigurationInvalid:
        """The error for what stands at ``key``."""
        return ConfigurationInvalid(
            f"{self.path}:{line_of(key, self.text)}: {why}", field=key_text(key)
        )


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file. Its methods raise ``ConfigurationInvalid`` by file and line."""

    source: Source
    key: Key
    content: Mapping[str, Any]

    def table(self, name: str, known: Mapping[str, Parser]) -> Table:
        """The table below this one, empty where there is none; refuses unknown keys."""
        return read_table(self.source, (*self.key, name), self.content.get(name, {}), known)

    def read(self, name: str, known: Mapping[str, Parser], default: T) -> T:
        """The value of a key, parsed, or the default."""
        if name not in self.content:
            return default
        value = self.content[name]
        try:
            parsed: T = known[name](value)
        except (ValueError, OverflowError) as error:
            raise self.wrong(_sentence(error), name) from None
        return parsed

    def wrong(self, why: str, *below: str) -> ConfigurationInvalid:
        """The error for this table or a key in it."""
        key = (*self.key, *below)
        return self.source.complaint(key, f"{key_text(key)} {why}")


def read_table(source: Source, key: Key, content: Any, known: Mapping[str, Parser]) -> Table:
    """The table at ``key``; raises ``ConfigurationInvalid`` for none and for unknown keys."""
    if not isinstance(content, dict):
        raise source.complaint(key, f"{key_text(key)} must be a table")
    for name in content:
        if name not in known:
            where = (*key, name)
            raise source.complaint(where, f"unknown setting {key_text(where)!r}")
    return Table(source, key, content)


def _sentence(error: Exception) -> str:
    """The sentence that says what a value must be, or, for one with a unit, what is wrong."""
    text = str(error)
    return text if text.startswith("must") else f"is wrong: {text}"
