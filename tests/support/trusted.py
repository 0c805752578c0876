"""A directory that only root can change, down from ``/``: what a policy may name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.directories import make_directory


@pytest.fixture
def trusted_dir() -> Iterator[Path]:
    """Not under a directory with a sticky bit, as all other temporary ones are. Takes root."""
    path = make_directory("jobworker-", "/var/lib")
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    """Make a program that the shell runs."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path
