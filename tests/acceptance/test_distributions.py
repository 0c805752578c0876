"""The wheel and the source distribution that are built from the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from jobworker.supervisor import program

CHECKOUT = Path(__file__).parents[2]

PARTS = ["LICENSE", "LICENSES", "README.md", "pyproject.toml", "src"]
"""Whatever a distribution is made from; a build leaves things beside it."""

PROGRAMS = {f"jobworker/supervisor/programs/{name}/jobd-spawner" for name in program.machines()}
SOURCES = {
    f"jobworker/supervisor/native/{path.name}"
    for path in (CHECKOUT / "src/jobworker/supervisor/native").glob("*.[ch]")
}
NOTICES = {path.name for path in (CHECKOUT / "LICENSES").iterdir()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both, made without an index: setuptools is among what tests take."""
    tree = tmp_path_factory.mktemp("tree")
    without = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        if (CHECKOUT / part).is_dir():
            shutil.copytree(CHECKOUT / part, tree / part, ignore=without)
        else:
            shutil.copy2(CHECKOUT / part, tree / part)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", tree],
        check=True,
        capture_output=True,
    )
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (found,) = distributions.glob("*.whl")
    return found


def test_one_wheel_does_for_every_machine(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_the_programs_and_they_may_be_executed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert names >= PROGRAMS | SOURCES
        for name in PROGRAMS:
            assert archive.getinfo(name).external_attr >> 16 & 0o7777 == 0o755


def test_the_wheel_has_the_notices_of_what_is_linked_in(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        licences = {name for name in archive.namelist() if "/licenses/" in name}
    assert {Path(name).name for name in licences} == {"LICENSE"} | NOTICES


def test_the_source_distribution_has_the_same(distributions: Path) -> None:
    (found,) = distributions.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        modes = {member.name.partition("/")[2]: member.mode for member in archive}
    assert {f"src/{name}" for name in PROGRAMS | SOURCES} <= set(modes)
    assert all(modes[f"src/{name}"] & 0o111 == 0o111 for name in PROGRAMS)
    assert {f"LICENSES/{name}" for name in NOTICES} <= set(modes)


def test_pip_installs_a_program_that_runs(wheel: Path, tmp_path: Path) -> None:
    """Whatever the umask: pip gives what may be executed its mode again."""
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, "--target", tmp_path, wheel], check=True, umask=0o077)
    for name in PROGRAMS:
        assert os.access(tmp_path / name, os.X_OK)
    found = subprocess.run(
        [sys.executable, "-c", "from jobworker.supervisor import program; print(program.path())"],
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(tmp_path)
