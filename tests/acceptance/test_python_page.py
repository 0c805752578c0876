"""docs/how-to/python.md is true: each of its programs runs and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.jobd import Jobd

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"
PROGRAMS = re.findall(
    r"^```python\n(.*?)^```\n```text\n(.*?)^```$",
    PAGE.read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    assert module_jobd.jobd("user", "add", "user1").returncode == 0
    return module_jobd


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_page(server: Jobd, number: int) -> None:
    program, printed = PROGRAMS[number]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=server.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (printed, "")


def test_every_program_says_what_it_prints() -> None:
    assert PAGE.read_text(encoding="utf-8").count("```python\n") == len(PROGRAMS) > 0
