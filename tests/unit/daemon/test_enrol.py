from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.client import profiles
from jobworker.client.profiles import Profile
from jobworker.daemon.enrol import Server, enrol, forget, has_profile, where_tokens_are
from jobworker.daemon.init import make_admin
from jobworker.daemon.state import make_state, users_of
from jobworker.errors import ConfigurationInvalid, UserExists
from jobworker.identity.users import Users
from jobworker.model import Role


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "jobctl" / "config.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("JOBCTL_CONFIG", "JOBCTL_USER", "JOBCTL_SERVER"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    with users_of(make_state(tmp_path / "state")) as users:
        yield users


@pytest.fixture
def server(tmp_path: Path) -> Server:
    ca = tmp_path / "ca.pem"
    ca.touch()
    return Server("https://127.0.0.1:8443", ca)


def test_the_profile_has_what_it_takes(users: Users, server: Server) -> None:
    enrol(users, "alice", Role.USER, server)
    profile = profiles.load("alice")
    assert (profile.server, profile.ca) == (server.url, str(server.ca))
    assert users.authenticate(profile.token).name == "alice"


def test_no_user_without_a_profile(users: Users, server: Server, configuration: Path) -> None:
    configuration.parent.parent.mkdir()
    configuration.parent.write_text("a file in the way")
    with pytest.raises(ConfigurationInvalid):
        enrol(users, "alice", Role.USER, server)
    assert not users.any()


def test_a_user_that_exists_keeps_its_profile(users: Users, server: Server) -> None:
    enrol(users, "alice", Role.USER, server)
    token = profiles.load("alice").token
    with pytest.raises(UserExists):
        enrol(users, "alice", Role.USER, server)
    assert profiles.load("alice").token == token


def test_the_profile_for_another_server_is_not_lost(
    users: Users, server: Server, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.touch()
    kept = Profile("alice", server="https://other:1", ca=str(other), token="t")
    profiles.store(kept)
    with pytest.raises(ConfigurationInvalid, match="https://other:1") as caught:
        enrol(users, "alice", Role.USER, server)
    assert "JOBCTL_CONFIG" in str(caught.value.hint)
    assert profiles.load("alice").token == "t"
    assert not users.any()


def test_the_profile_for_a_server_that_is_gone_is_replaced(users: Users, server: Server) -> None:
    profiles.store(Profile("alice", server="https://other:1", ca="/gone/ca.pem", token="t"))
    enrol(users, "alice", Role.USER, server)
    assert profiles.load("alice").server == server.url


def test_forget_drops_the_profile_for_this_server_only(server: Server) -> None:
    profiles.store(Profile("alice", server="https://other:1", ca="/gone/ca.pem", token="t"))
    forget("alice", server.ca)
    assert has_profile("alice", Path("/gone/ca.pem"))
    forget("alice", Path("/gone/ca.pem"))
    assert not has_profile("alice", Path("/gone/ca.pem"))


def test_the_first_start_makes_admin_the_second_does_not(users: Users, server: Server) -> None:
    make_admin(users, server)
    token = profiles.load("admin").token
    assert users.authenticate(token).role is Role.ADMIN
    make_admin(users, server)
    assert profiles.load("admin").token == token
    assert len(users.list()) == 1


def test_a_first_start_that_was_killed_after_the_profile_is_finished(
    users: Users, server: Server
) -> None:
    """The profile is there, with a token that no database knows."""
    profiles.store(Profile("admin", server=server.url, ca=str(server.ca), token="lost"))
    make_admin(users, server)
    assert users.authenticate(profiles.load("admin").token).name == "admin"


def test_nothing_is_minted_for_an_account_that_has_no_profile(
    users: Users, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    users.add("admin", Role.ADMIN)
    with caplog.at_level("INFO"):
        make_admin(users, server)
    assert not has_profile("admin", server.ca)
    assert "jobd user add NAME --role admin" in caplog.text


def test_an_admin_who_was_removed_does_not_come_back(users: Users, server: Server) -> None:
    make_admin(users, server)
    users.add("root", Role.ADMIN)
    users.remove("admin")
    make_admin(users, server)
    assert [one.user.name for one in users.list()] == ["root"]


def test_the_directory_of_tokens_is_there_to_be_hidden_before_the_first_token(
    configuration: Path,
) -> None:
    assert where_tokens_are() == [configuration.parent]
    assert configuration.parent.is_dir()


def test_a_private_directory_that_was_named_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBCTL_CONFIG", str(tmp_path / "own" / "config.json"))
    (tmp_path / "own").mkdir(mode=0o700)
    assert where_tokens_are() == [tmp_path / "own"]


@pytest.mark.parametrize("what", ["home", "shared"])
def test_a_directory_that_jobs_may_need_is_not_hidden_but_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    directory = tmp_path / what
    directory.mkdir(mode=0o755 if what == "shared" else 0o700)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JOBCTL_CONFIG", str(directory / "config.json"))
    assert where_tokens_are() == []
    assert "jobs that run as this account can read" in caplog.text


def test_a_directory_that_cannot_be_made_does_not_stop_the_server(
    configuration: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configuration.parent.parent.write_text("a file in the way")
    assert where_tokens_are() == []
    assert "cannot hide" in caplog.text
