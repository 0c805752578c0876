"""Two servers of one machine give their users different UIDs, or the second does not start."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jobworker.model import Level
from support.jobd import Jobd, MakeJobd
from support.levels import working

pytestmark = pytest.mark.root

WITH_UIDS: list[Level] = working("full", "uid")


@pytest.fixture(params=WITH_UIDS)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


def uid(server: Jobd) -> int:
    return int(server.succeed("run", "--", "/usr/bin/id", "-u"))


def with_range(directory: Path, first: int, count: int) -> str:
    config = directory / f"{first}.toml"
    config.write_text(f"[jobs]\nfirst-uid = {first}\nuid-count = {count}\n")
    return str(config)


def test_t65_two_servers_give_no_uid_twice(make_jobd: MakeJobd, level: Level) -> None:
    one, other = (make_jobd("--containment", level) for _ in range(2))
    before = uid(one), uid(other)
    assert before[0] // 10_000 != before[1] // 10_000
    one.restart()
    other.restart()
    assert (uid(one), uid(other)) == before


def test_t65_a_range_that_another_state_has_taken_is_refused(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    """Also while that server is down: its jobs go on, and its files stay."""
    first = make_jobd(
        "--containment", level, "--config", with_range(shared_dir, 1_990_000_000, 100)
    )
    assert uid(first) in range(1_990_000_000, 1_990_000_100)
    job_id = first.start_job("/bin/sleep", "600")
    assert first.stop() == 0
    overlapping = with_range(shared_dir, 1_990_000_099, 50)
    with pytest.raises(AssertionError, match="did not become ready") as refused:
        make_jobd("--containment", level, "--config", overlapping)
    assert f"belong to the server with the state directory {first.state}" in str(refused.value)
    assert "first-uid and uid-count in [jobs]" in str(refused.value)
    beside = make_jobd(
        "--containment", level, "--config", with_range(shared_dir, 1_990_000_100, 50)
    )
    assert uid(beside) >= 1_990_000_100
    first.start()
    first.succeed("stop", job_id)


def test_t65_a_copied_state_does_not_start_beside_the_first(
    make_jobd: MakeJobd, level: Level, shared_dir: Path
) -> None:
    one = make_jobd("--containment", level)
    other = make_jobd("--containment", level)
    assert other.stop() == 0
    shutil.copy(one.state / "uids", other.state / "uids")
    with pytest.raises(AssertionError, match="cannot use the UIDs"):
        other.start()
    (other.state / "uids").unlink()
    config = with_range(shared_dir, 1_991_000_000, 10)
    other.options = ("--containment", level, "--config", config)
    other.start()
    assert uid(other) >= 1_991_000_000
