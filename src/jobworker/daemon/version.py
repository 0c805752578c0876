"""``jobd version``."""

from __future__ import annotations

import argparse

from jobworker.version import VERSION

ABOUT = "Print the version."


def configure(_parser: argparse.ArgumentParser) -> None:
    """Declares nothing: there is nothing to choose."""


def run(_arguments: argparse.Namespace) -> None:
    """Prints the version."""
    print(f"jobd {VERSION}")  # noqa: T201 - what a command prints
