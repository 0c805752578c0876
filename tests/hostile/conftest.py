"""A real server at each level that works here, and small programs that attack it.

``server`` is the server under attack, at the level ``level``; ``compiled("name")`` is a
program from ``programs/name.c``, where jobs can execute it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobworker.model import Level
from support.jobd import Jobd, MakeJobd
from support.levels import account_for, working

_PROGRAMS = Path(__file__).with_name("programs")

Compile = Callable[[str], str]


@pytest.fixture(params=working())
def level(request: pytest.FixtureRequest) -> Level:
    """A level of containment; ``parametrize("level", working("full"))`` takes some alone."""
    chosen: Level = request.param
    return chosen


@pytest.fixture
def server(make_jobd: MakeJobd, level: Level) -> Jobd:
    """The server under attack."""
    return make_jobd("--containment", level, account=account_for(level))


@pytest.fixture
def compiled(shared_dir: Path) -> Compile:
    """Compile a program of ``programs``; takes gcc."""

    def build(name: str) -> str:
        program = str(shared_dir / name)
        source = _PROGRAMS / f"{name}.c"
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", program, source], check=True)
        return program

    return build
