"""The server's settings: one frozen value, read once at start.

Flags go before ``JOBD_*`` variables, those before the TOML file, that before the
defaults. ``SETTINGS`` is the one table of them. The tables of the file, which decide
about jobs, are for ``policy.load``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobworker.config.jobs import DEFAULT as JOBS_DEFAULT
from jobworker.config.jobs import TABLE, JobSettings, job_settings
from jobworker.config.toml import read
from jobworker.errors import ConfigurationInvalid
from jobworker.model import LEVELS, Level

Containment = Level | Literal["auto"]

POLICY_TABLES = ("limits", "ceilings", "total", "per-user", "queue", "policy")
"""The tables of the file, which ``policy.load`` reads."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address that the server listens on; port 0 picks a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a server. ``config`` is the file, which also has the policy.

    ``jobs`` is the file's table of that name.
    """

    state: Path
    listen: Address
    containment: Containment
    config: Path | None = None
    jobs: JobSettings = JOBS_DEFAULT


def parse_address(text: str) -> Address:
    """Reads ``HOST:PORT`` (``[::1]:8443`` for IPv6); raises ``ValueError``."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8443")
    return Address(host.strip("[]"), int(port))


def _parse_containment(text: str) -> Any:
    levels = ("auto", *LEVELS)
    if text not in levels:
        raise ValueError(f"must be one of {', '.join(levels)}")
    return text


def _parse_state(text: str) -> Path:
    if not text:
        raise ValueError("must be a directory")
    return Path(text).expanduser().absolute()


def default_state() -> str:
    """``/var/lib/jobd`` as root, else ``$XDG_STATE_HOME/jobd``."""
    if os.geteuid() == 0:
        return "/var/lib/jobd"
    return f"{os.environ.get('XDG_STATE_HOME') or '~/.local/state'}/jobd"


SETTINGS: dict[str, tuple[Callable[[str], Any], Callable[[], str], str]] = {
    "state": (_parse_state, default_state, "directory of the server's state"),
    "listen": (parse_address, lambda: "127.0.0.1:8443", "address as HOST:PORT; port 0 picks one"),
    "containment": (
        _parse_containment,
        lambda: "auto",
        f"how far jobs are walled off: auto (the strongest here), {', '.join(LEVELS)}",
    ),
}
"""Each setting: how it is parsed, its default, what it means."""


def load(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """Puts the settings together; raises ``ConfigurationInvalid`` naming the culprit.

    ``flags`` holds what was given on the command line; its key ``config`` and the
    variable ``JOBD_CONFIG`` name the TOML file.
    """
    config = flags.get("config") or environ.get("JOBD_CONFIG")
    path = Path(config).absolute() if config else None
    from_file, jobs = _read_file(path) if path else ({}, JOBS_DEFAULT)
    values: dict[str, Any] = {}
    for key, (parse, default, _) in SETTINGS.items():
        variable = f"JOBD_{key.upper()}"
        candidates = (
            (flags.get(key), f"--{key}"),
            (environ.get(variable), variable),
            (from_file.get(key), f"{config}: {key}"),
            (default(), "default"),
        )
        text, source = next((value, where) for value, where in candidates if value is not None)
        try:
            values[key] = parse(text)
        except ValueError as error:
            raise ConfigurationInvalid(f"{source}: {text!r} {error}", field=key) from None
    return Settings(**values, config=path, jobs=jobs)


def _read_file(path: Path) -> tuple[dict[str, str], JobSettings]:
    """The settings in a file and its table ``[jobs]``; the others are only known to be there."""
    content, source = read(path)
    settings = {}
    for key, value in content.items():
        if key in SETTINGS:
            if not isinstance(value, str):
                raise source.complaint((key,), f"{key} must be a string")
            settings[key] = value
        elif key not in (*POLICY_TABLES, TABLE):
            raise source.complaint((key,), f"unknown setting {key!r}")
    return settings, job_settings(content, source)
