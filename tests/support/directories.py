"""Directories outside of pytest's own, which this run makes and can tell from others'."""

from __future__ import annotations

import tempfile
from pathlib import Path

_made: list[Path] = []


def make_directory(prefix: str, parent: str = "/var/tmp") -> Path:
    """Make a new directory, which the caller removes."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    _made.append(path)
    return path


def made_by_this_run() -> tuple[Path, ...]:
    """Every directory that was made so, also those removed since."""
    return tuple(_made)
