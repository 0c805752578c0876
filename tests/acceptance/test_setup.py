"""scripts/setup, where something goes wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment was made from another lock."""
    for part in ("scripts", "requirements"):
        shutil.copytree(CHECKOUT / part, tmp_path / part)
    (tmp_path / "src").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/jobd").write_text("the server that runs")
    return tmp_path


def setup(checkout: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts/setup"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installation_that_fails_leaves_the_old_environment(checkout: Path) -> None:
    """A server may be running from it."""
    done = setup(checkout, PIP_INDEX_URL=f"file://{checkout}/nothing", PIP_NO_CACHE_DIR="1")
    assert done.returncode == 1
    assert "cannot install requirements/runtime.txt" in done.stderr
    assert (checkout / ".venv/bin/jobd").read_text() == "the server that runs"


def test_an_environment_knows_its_place(checkout: Path) -> None:
    """It is made beside the old one: no file of it may name the place it was made in."""
    (checkout / "requirements/runtime.txt").write_text("")  # whatever is in it is as good
    done = setup(checkout)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in setup(checkout).stdout
    bin_directory = checkout / ".venv/bin"
    pip = subprocess.run([bin_directory / "pip", "--version"], capture_output=True, check=False)
    assert pip.returncode == 0, pip.stderr
    named = [
        path.name
        for path in [*bin_directory.iterdir(), checkout / ".venv/pyvenv.cfg"]
        if b".venv.new" in path.read_bytes()
    ]
    assert named == []
    assert [path.name for path in checkout.glob(".venv*")] == [".venv"]
