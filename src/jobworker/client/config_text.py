"""The text of the client's configuration file: TOML, written in one fixed form.

The name of the ``default`` profile, then a table ``[profiles.NAME]`` with ``server``,
``ca`` and ``token`` for each.
"""

from __future__ import annotations

import json

from jobworker.errors import ConfigurationInvalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    class Config(TypedDict):
        """The name of the default profile, and the fields of each profile."""

        default: str | None
        profiles: dict[str, dict[str, str]]


FIELDS = ("server", "ca", "token")
_TABLE = "[profiles."
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def render(config: Config) -> str:
    """Write ``config`` as TOML, always in the same form."""
    parts = [f"default = {_quoted(config['default'])}\n"] if config["default"] else []
    for name, profile in config["profiles"].items():
        key = name if name and _BARE.issuperset(name) else _quoted(name)
        fields = (f"{field} = {_quoted(profile[field])}\n" for field in FIELDS)
        parts.append(f"{_TABLE}{key}]\n{''.join(fields)}")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's escapes are among its own, DEL is refused raw."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse(text: str) -> Config:
    """Read the file's text; raises ``ConfigurationInvalid``.

    tomllib takes 8 ms to import, a sixth of a whole ``jobctl status``. So the form
    that ``render`` writes is read back line by line, and that reading is taken only
    where rendering it gives the same text again; all else goes to tomllib.
    """
    try:
        config = _unrender(text)
        if render(config) == text:
            return config
    except (ValueError, KeyError):
        pass  # edited by hand: not our form
    return _parse_toml(text)


def _unrender(text: str) -> Config:
    top: dict[str, str] = {}
    profiles: dict[str, dict[str, str]] = {}
    section = top
    for line in text.split("\n"):
        if line.startswith(_TABLE):
            key = line[len(_TABLE) : -1]
            section = profiles[_unquoted(key) if key.startswith('"') else key] = {}
        elif line:
            field, _, value = line.partition(" = ")
            section[field] = _unquoted(value)
    return {"default": top.get("default"), "profiles": profiles}


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        raise ValueError("not a basic string")
    return str(json.loads(text))


def _parse_toml(text: str) -> Config:
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(str(error)) from None
    _refuse_others(table, ("default", "profiles"), "")
    default, profiles = table.get("default"), table.get("profiles", {})
    if default is not None and not isinstance(default, str):
        raise ConfigurationInvalid("default must be the name of a profile", field="default")
    if not isinstance(profiles, dict):
        raise ConfigurationInvalid("profiles must be a table", field="profiles")
    for name, profile in profiles.items():
        _check_profile(f"profiles.{name}", profile)
    return {"default": default, "profiles": profiles}


def _check_profile(where: str, profile: object) -> None:
    if not isinstance(profile, dict):
        raise ConfigurationInvalid(f"{where} must be a table", field=where)
    _refuse_others(profile, FIELDS, f"{where}.")
    for field in FIELDS:
        if not isinstance(profile.get(field), str):
            key = f"{where}.{field}"
            raise ConfigurationInvalid(f"{key} is missing or not a string", field=key)


def _refuse_others(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            message = f"unknown setting {where}{key}; known are {', '.join(known)}"
            raise ConfigurationInvalid(message, field=where + key)
