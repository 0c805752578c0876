"""The spawner's program: which one a machine gets, and what is said where there is none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobworker.supervisor import program


def test_there_is_one_for_each_machine_that_is_promised() -> None:
    assert program.machines() == ["aarch64", "x86_64"]


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_it_is_of_its_machine_and_needs_no_loader(machine: str, number: int) -> None:
    """In the ELF header: what machine it is for (EM_X86_64, EM_AARCH64)."""
    found = program.path(machine)
    assert found.name == "jobd-spawner"
    binary = found.read_bytes()
    assert binary.startswith(b"\x7fELF\x02\x01")
    assert int.from_bytes(binary[18:20], "little") == number
    assert b"/ld-" not in binary


def test_this_machine_has_its_own() -> None:
    assert program.path() == program.path(os.uname().machine)


def test_nothing_of_where_it_was_built_is_in_it() -> None:
    checkout = os.fsencode(Path(__file__).parents[3])
    for machine in program.machines():
        binary = program.path(machine).read_bytes()
        assert checkout not in binary
        assert b"native/" not in binary


@pytest.mark.parametrize("machine", ["riscv64", "i686", "..", "."])
def test_an_unknown_machine_is_named_with_what_to_do(machine: str) -> None:
    with pytest.raises(program.NoProgram) as raised:
        program.path(machine)
    assert raised.value.strerror == (
        f"no jobd-spawner for the machine {machine}: there is one for aarch64, x86_64. In a"
        f" checkout of the project, add {machine} to the machines in scripts/native, run it,"
        " and install from there"
    )


def test_one_that_lost_its_mode_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive was unpacked by what keeps no modes."""
    shutil.copytree(program.PROGRAMS, tmp_path / "programs", copy_function=shutil.copyfile)
    monkeypatch.setattr(program, "PROGRAMS", tmp_path / "programs")
    with pytest.raises(program.NoProgram, match=r"cannot execute .*chmod 755"):
        program.path("x86_64")
