import os
import stat
from pathlib import Path

import pytest

from jobworker.archive.database import Database
from jobworker.ballast import Ballast
from jobworker.config.settings import Address
from jobworker.daemon.address import in_force, published, url_of
from jobworker.daemon.state import State, find_state, make_state, users_of
from jobworker.errors import StateUnusable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_directory_is_made_private(tmp_path: Path) -> None:
    state = make_state(tmp_path / "a" / "state")
    assert mode(state.directory) == 0o700


def test_an_empty_directory_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_state(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_directory_with_files_keeps_its_mode(tmp_path: Path) -> None:
    """``--state /etc`` by mistake must not lock everybody out of it."""
    tmp_path.chmod(0o755)
    (tmp_path / "something").touch()
    make_state(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("bits", [0o1777, 0o777])
def test_nobody_is_told_to_change_the_mode_of_a_directory_that_is_for_others_too(
    tmp_path: Path, bits: int
) -> None:
    """``--state /tmp`` as root: the hint would break the machine."""
    tmp_path.chmod(bits)
    if bits == 0o777:
        (tmp_path / "somebody's").touch()
    with pytest.raises(StateUnusable, match="others may write") as caught:
        make_state(tmp_path)
    assert caught.value.hint == "name a directory of its own with --state or JOBD_STATE"


@pytest.mark.parametrize("bits", [0o770, 0o707])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, bits: int) -> None:
    tmp_path.chmod(bits)
    with pytest.raises(StateUnusable, match=f"mode is {bits:04o}, so others may write") as caught:
        make_state(tmp_path)
    assert f"chmod go-w {tmp_path}" in str(caught.value.hint)
    assert mode(tmp_path) == bits


@pytest.mark.root
def test_a_directory_of_another_account_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateUnusable, match="belongs to nobody, not to root"):
        make_state(tmp_path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateUnusable, match="cannot use the state directory"):
        make_state(tmp_path / "state")
    with pytest.raises(StateUnusable, match="cannot use the state directory"):
        make_state(tmp_path / "state" / "below")


@pytest.mark.parametrize("directory", [".", "missing"])
def test_a_state_that_no_server_has_used_is_not_made_up(tmp_path: Path, directory: str) -> None:
    with pytest.raises(StateUnusable, match=r"there is no jobd\.db") as caught:
        find_state(tmp_path / directory)
    assert "--state" in str(caught.value.hint)
    assert [*tmp_path.iterdir()] == []


async def test_a_state_that_a_server_has_used_is_found(tmp_path: Path) -> None:
    await Database.open(make_state(tmp_path).database).close()
    assert find_state(tmp_path) == State(tmp_path)


def test_the_users_of_a_state(tmp_path: Path) -> None:
    with users_of(make_state(tmp_path)) as users:
        assert not users.any()


def test_the_address_is_known_while_the_server_lives(tmp_path: Path) -> None:
    path = tmp_path / "address"
    assert in_force(path) is None
    with published(path, Address("::1", 8443), Ballast(tmp_path)):
        assert in_force(path) == Address("::1", 8443)
    assert in_force(path) is None


def test_the_address_of_a_killed_server_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "address"
    path.write_text("127.0.0.1:1\n")
    assert in_force(path) is None
    (tmp_path / ".address").write_text("127.0.0.1:2\n")
    with published(path, Address("127.0.0.1", 3), Ballast(tmp_path)):
        assert in_force(path) == Address("127.0.0.1", 3)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "https://127.0.0.1:8443"),
        ("jobs.example", "https://jobs.example:8443"),
        ("::1", "https://[::1]:8443"),
        ("0.0.0.0", "https://127.0.0.1:8443"),
        ("::", "https://[::1]:8443"),
    ],
)
def test_a_wildcard_is_reached_by_the_loopback_address(host: str, url: str) -> None:
    assert url_of(Address(host, 8443)) == url
