"""The text of the client's configuration file: one JSON object.

``defaultProfile`` is a profile's name or null. ``profiles`` has, by name, an object with
the strings ``server``, ``ca`` and ``token``, and may have ``socket``. Other keys are a newer
client's: they are ignored, and written again as they are.
"""

from __future__ import annotations

import json

from jobworker.errors import ConfigurationInvalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypedDict

    class Config(TypedDict):
        """The keys of the file that this version knows; a value may hold more."""

        defaultProfile: str | None
        profiles: dict[str, dict[str, Any]]


FIELDS = ("server", "ca", "token")
CORRECT_IT = "correct it with an editor; jobctl changes no file that it cannot read"
"""The advice about a text that is refused."""


def render(config: Config) -> str:
    """Writes ``config``, other keys included, in ASCII, so that any string can be written."""
    try:
        return json.dumps(config, indent=2, allow_nan=False) + "\n"
    except RecursionError:  # takes more of the stack than reading it did
        raise ConfigurationInvalid("it is nested too deeply to be written again") from None


def parse(text: str) -> Config:
    """Reads the file's text; raises ``ConfigurationInvalid``, which quotes no value."""
    try:
        config = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        raise ConfigurationInvalid(f"it is not JSON: {error}") from None
    except RecursionError:
        raise ConfigurationInvalid("it is nested too deeply") from None
    except ValueError:  # of a whole number; Python's message is about its own settings
        raise ConfigurationInvalid("it holds a number of too many digits") from None
    if not isinstance(config, dict):
        raise ConfigurationInvalid("it is not a JSON object")
    default = config.setdefault("defaultProfile", None)
    if default is not None and not isinstance(default, str):
        raise _invalid("defaultProfile", "must be the name of a profile, or null")
    profiles = config.setdefault("profiles", {})
    if not isinstance(profiles, dict):
        raise _invalid("profiles", "must be an object")
    for name, profile in profiles.items():
        _check_profile(f"profiles.{name}", profile)
    return {**config, "defaultProfile": default, "profiles": profiles}


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuses a key that stands twice: readers differ on which of the two counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        left = dict.fromkeys(found)
        twice = next(key for key, _ in pairs if left.pop(key, key) is not None)
        raise ConfigurationInvalid(f"the key {twice!r} stands twice in one object", field=twice)
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ConfigurationInvalid(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    """Refuses what would be written again as Infinity, which is not JSON."""
    number = float(text)
    if abs(number) == float("inf"):
        raise ConfigurationInvalid("it holds a number that is too large")
    return number


def _check_profile(where: str, profile: object) -> None:
    if not isinstance(profile, dict):
        raise _invalid(where, "must be an object")
    for field in FIELDS:
        if not isinstance(profile.get(field), str):
            raise _invalid(f"{where}.{field}", "is missing or not a string")
    if not isinstance(profile.get("socket", ""), str):
        raise _invalid(f"{where}.socket", "is not a string")


def _invalid(key: str, what: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(f"{key} {what}", field=key)
