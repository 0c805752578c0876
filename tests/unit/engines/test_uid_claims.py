"""The register of ranges of UIDs: who has which, and for how long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobworker.config.jobs import UidRange
from jobworker.engines.host.uid_claims import claim
from jobworker.engines.host.uids import candidates, uid_of
from jobworker.errors import StartFailed, UidsUnavailable

ALL = "0 0 4294967295"
NARROW = "0 100000 65536"
FIRST = UidRange(1_900_000_000)


@pytest.fixture
def register(tmp_path: Path) -> Path:
    return tmp_path / "register"


@pytest.fixture
def states(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "one", tmp_path / "other"
    for path in paths:
        path.mkdir()
    return paths


def taken(
    register: Path,
    state: Path,
    wanted: UidRange | None = None,
    *,
    uid_map: str = ALL,
    used: bool = False,
) -> UidRange:
    return claim(state, wanted, uid_map, used=used, register=register)


def test_t65_each_state_takes_a_free_range_and_keeps_it(
    register: Path, states: tuple[Path, Path]
) -> None:
    assert [taken(register, state) for state in states] == [FIRST, UidRange(1_900_010_000)]
    assert [taken(register, state) for state in states] == [FIRST, UidRange(1_900_010_000)]
    assert sorted(path.name for path in register.iterdir()) == [
        "1900000000-10000",
        "1900010000-10000",
    ]


def test_t65_a_state_of_an_earlier_version_keeps_the_first_range(
    register: Path, states: tuple[Path, Path]
) -> None:
    """Its owners have users there already; of two such the second is refused."""
    assert taken(register, states[0], used=True) == FIRST
    with pytest.raises(UidsUnavailable, match="belong to the server") as refused:
        taken(register, states[1], used=True)
    assert refused.value.hint
    assert not (states[1] / "uids").exists()


def test_t65_a_range_is_free_again_once_its_state_is_gone(
    register: Path, states: tuple[Path, Path]
) -> None:
    wanted = UidRange(5000, 10)
    taken(register, states[0], wanted)
    with pytest.raises(UidsUnavailable):
        taken(register, states[1], UidRange(5009, 1))
    (states[0] / "uids").unlink()
    states[0].rmdir()
    assert taken(register, states[1], UidRange(5009, 1)) == UidRange(5009, 1)
    assert [path.name for path in register.iterdir()] == ["5009-1"]


def test_another_setting_gives_the_first_range_back(
    register: Path, states: tuple[Path, Path]
) -> None:
    taken(register, states[0], UidRange(5000, 10))
    taken(register, states[0], UidRange(6000, 10))
    assert taken(register, states[1], UidRange(5000, 10)) == UidRange(5000, 10)
    assert taken(register, states[0]) == UidRange(6000, 10)


def test_t65_a_register_that_others_can_change_is_refused(
    register: Path, states: tuple[Path, Path]
) -> None:
    register.mkdir()
    register.chmod(0o777)
    with pytest.raises(UidsUnavailable, match="others can change it"):
        taken(register, states[0])
    register.rmdir()
    register.symlink_to(states[1])
    with pytest.raises(OSError, match=r"Not a directory|symbolic|others can"):
        taken(register, states[0])


def test_a_range_must_exist_in_the_container(register: Path, states: tuple[Path, Path]) -> None:
    with pytest.raises(UidsUnavailable, match="not all mapped"):
        taken(register, states[0], UidRange(65_530, 10), uid_map=NARROW)
    assert taken(register, states[0], uid_map=NARROW) == UidRange(50_000)
    with pytest.raises(UidsUnavailable, match="belong to"):
        taken(register, states[1], uid_map=NARROW)
    with pytest.raises(StartFailed, match="too few"):
        next(candidates("0 100000 1000"))


def test_an_owner_past_the_range_gets_no_user() -> None:
    small = UidRange(5000, 2)
    assert uid_of(1, "full", small) == 5001
    with pytest.raises(StartFailed, match="2 owners have had jobs here"):
        uid_of(2, "full", small)
    assert uid_of(2, "basic", small) == os.geteuid()
