"""The settings as arguments of commands, made from the one table in ``config``."""

from __future__ import annotations

import argparse
import os

from jobworker.config.settings import SETTINGS, Settings, load
from jobworker.errors import ConfigurationInvalid, InvalidRequest
from jobworker.identity.users import check_name

_PLACEHOLDERS = {"state": "DIR", "listen": "HOST:PORT", "containment": "LEVEL"}


def add_settings(parser: argparse.ArgumentParser, *keys: str) -> None:
    """Declares ``--config`` and a flag for each setting named by ``keys``."""
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    for key in keys:
        _, default, meaning = SETTINGS[key]
        placeholder = _PLACEHOLDERS.get(key, "VALUE")
        text = f"{meaning}; default {default()}".replace("%", "%%")
        parser.add_argument(f"--{key}", metavar=placeholder, help=text)
    parser.set_defaults(parser=parser)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that the flags, the environment and the file amount to.

    One that cannot be used ends the process, as any other wrong use does.
    """
    try:
        return load_settings(arguments)
    except ConfigurationInvalid as error:
        parser: argparse.ArgumentParser = arguments.parser
        parser.error(str(error))


def load_settings(arguments: argparse.Namespace) -> Settings:
    """The settings as in ``settings_of``; raises ``ConfigurationInvalid`` instead."""
    given = vars(arguments)
    flags = {key: given.get(key) for key in (*SETTINGS, "config")}
    return load(flags, os.environ)


def user_name(text: str) -> str:
    """An argument that names a user to be made (a type for argparse)."""
    try:
        check_name(text)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
