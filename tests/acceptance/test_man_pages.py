"""The man pages can be read by what people read them with, and hold what help says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobworker.cli import commands, pages
from jobworker.daemon.main import COMMANDS

DIRECTORY = Path(__file__).parents[2] / "docs" / "man"
PAGES = sorted(DIRECTORY.glob("*.1"))


def run(*command: str | Path) -> str:
    environ = os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFOPT": ""}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_there_are_two() -> None:
    assert [page.name for page in PAGES] == ["jobctl.1", "jobd.1"]


@pytest.mark.needs("groff")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_finds_no_fault(page: Path) -> None:
    assert run("groff", "-man", "-ww", "-z", "-Tutf8", page) == ""


@pytest.mark.needs("mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_no_fault(page: Path) -> None:
    assert run("mandoc", "-Tlint", page) == ""


@pytest.mark.needs("man")
def test_man_shows_every_verb_with_its_options() -> None:
    text = " ".join(run("man", "-P", "cat", "-l", DIRECTORY / "jobctl.1").split())
    for name, _, summary in commands.VERBS:
        assert f"{name} {summary}" in text
        for option in commands.load(name).OPTIONS:
            assert pages.flags(option) in text
        for example in pages.Page(name).examples:
            assert " ".join(example.split()) in text


@pytest.mark.needs("man")
def test_man_shows_every_command_of_jobd() -> None:
    text = run("man", "-P", "cat", "-l", DIRECTORY / "jobd.1")
    for name in COMMANDS:
        assert f"jobd {name}" in text
