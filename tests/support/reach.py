"""``reach_program`` tells what a job can reach (reach.c), ``abstract_listener`` is there for it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("reach.c")


@pytest.fixture
def reach_program(shared_dir: Path) -> str:
    """The program, where jobs can read it; takes gcc."""
    program = str(shared_dir / "reach")
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", program, _SOURCE], check=True)
    return program


@pytest.fixture
def abstract_listener() -> Iterator[str]:
    """The name of an abstract UNIX socket of this process, which takes connections."""
    name = f"jobworker-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        yield name
