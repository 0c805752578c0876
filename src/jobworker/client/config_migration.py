"""Moves the TOML file of an earlier version to the JSON file that is read now.

The TOML file is rewritten as JSON where it lies, then renamed: at no moment is there no
file, or a second copy of the tokens. A move that was interrupted is finished by the next
call, so a TOML file's name may be found on JSON. Imported only where there is such a file.
"""

from __future__ import annotations

import json
import tomllib

from jobworker.client import config_file, config_text
from jobworker.errors import ConfigurationInvalid


def read(path: str, legacy: str) -> str | None:
    """Moves the file ``legacy`` to ``path``, and returns its text as JSON.

    Where nothing can be written, as on a read-only file system, the file stays and its
    text is returned all the same. Raises ``ConfigurationInvalid`` where it cannot be used.
    """
    text = config_file.read(legacy)
    if text is None:  # another process has moved it since it was seen
        return config_file.read(path)
    converted = _convert(legacy, text)
    try:
        migrate(path, legacy)
    except ConfigurationInvalid:
        pass  # the file itself is good: a reader can do without the move
    return converted


def migrate(path: str, legacy: str) -> None:
    """Moves the file ``legacy`` to ``path``; raises ``ConfigurationInvalid``."""
    config_file.move(legacy, path, lambda text: _convert(legacy, text))


def _convert(legacy: str, text: str) -> str:
    """The JSON that means what ``text``, of the file ``legacy``, does."""
    try:
        if text.lstrip().startswith("{"):  # JSON already; no TOML begins like this
            return config_text.render(config_text.parse(text))
        table = tomllib.loads(text)
        document = {"defaultProfile": table.pop("default", None), **table}
        return config_text.render(config_text.parse(json.dumps(document)))
    except tomllib.TOMLDecodeError as error:
        problem = f"it is not TOML: {error}"
    except RecursionError:
        problem = "it is nested too deeply"
    except TypeError:  # only TOML has dates and times
        problem = "it holds a date or a time, which a configuration has no use for"
    except ConfigurationInvalid as error:
        problem = str(error)
    raise ConfigurationInvalid(
        f"cannot move {legacy} to a JSON file: {problem}",
        hint=config_text.CORRECT_IT,
    )
