"""The tests of level ``namespaces``, by an ordinary account: root does not get that level."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.levels import ORDINARY, working

_TESTS = Path(__file__).parents[1]
_FILES = (
    "integration/test_containment.py",
    "integration/test_deadlines.py",
    "integration/test_input.py",
    "integration/test_offline.py",
    "integration/test_output_cap.py",
    "integration/test_sealed.py",
    "integration/test_signal.py",
    "integration/test_supervision.py",
    "limits/test_processes.py",
)
"""Those that try every level that works for who runs them."""

_BUDGET = 150.0
"""Seconds for dozens of tests, of a second each, on a machine that is busy with others; less
than what pytest gives one test."""


@pytest.mark.root
@pytest.mark.parametrize("level", working("namespaces"))
@pytest.mark.parametrize("name", _FILES)
def test_level_namespaces_by_an_ordinary_account(level: str, name: str) -> None:
    # What takes root is skipped there, and is run by root.
    environ = {key: value for key, value in os.environ.items() if key != "JOBWORKER_REQUIRE_ALL"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            level,
            _TESTS / name,
        ],
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        cwd=_TESTS.parent,
        env=environ | {"HOME": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_BUDGET,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
