"""Profiles are kept where nobody else may read or replace them (T43)."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from jobworker.client import profiles
from jobworker.client.profiles import Profile
from jobworker.errors import ConfigurationInvalid, ProfileNotFound


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file of the test; it does not exist yet."""
    path = tmp_path / "jobctl" / "config.toml"
    monkeypatch.setenv("JOBCTL_CONFIG", str(path))
    monkeypatch.delenv("JOBCTL_USER", raising=False)
    monkeypatch.delenv("JOBCTL_SERVER", raising=False)
    return path


def profile(name: str = "admin", **changes: str) -> Profile:
    fields = {"server": "https://127.0.0.1:8443", "ca": "/ca.pem", "token": "s3cret"}
    return Profile(name, **(fields | changes))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_stored_is_loaded(path: Path) -> None:
    profiles.store(profile())
    loaded = profiles.load("admin")
    assert (loaded.name, loaded.server, loaded.ca, loaded.token) == (
        "admin",
        "https://127.0.0.1:8443",
        "/ca.pem",
        "s3cret",
    )
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_nothing_but_the_file_and_its_lock_is_left(path: Path) -> None:
    profiles.store(profile())
    assert {file.name for file in path.parent.iterdir()} == {".config.toml.lock", "config.toml"}


def test_what_a_killed_writer_left_is_no_obstacle(path: Path) -> None:
    profiles.store(profile())
    (path.parent / ".config.toml.new").write_text("half")
    profiles.store(profile("alice"))
    assert profiles.load("alice").name == "alice"


@pytest.mark.usefixtures("path")
def test_the_first_profile_is_the_default_one_until_another_is_made_so() -> None:
    profiles.store(profile("alice"))
    profiles.store(profile("bob"))
    assert profiles.load().name == "alice"
    profiles.store(profile("bob"), make_default=True)
    assert profiles.load().name == "bob"


@pytest.mark.usefixtures("path")
def test_the_environment_names_the_profile_and_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.store(profile("alice"))
    profiles.store(profile("bob"))
    monkeypatch.setenv("JOBCTL_USER", "bob")
    monkeypatch.setenv("JOBCTL_SERVER", "https://other:1")
    assert profiles.load().name == "bob"
    assert profiles.load("alice").server == "https://other:1"


def test_the_default_place_is_below_the_configuration_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JOBCTL_CONFIG", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert profiles.config_path() == "/home/alice/.config/jobctl/config.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert profiles.config_path() == "/xdg/jobctl/config.toml"


@pytest.mark.usefixtures("path")
def test_a_profile_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ProfileNotFound, match="no default one"):
        profiles.load()
    profiles.store(profile("alice"))
    with pytest.raises(ProfileNotFound, match="no profile 'bob'") as caught:
        profiles.load("bob")
    assert caught.value.hint == "known profiles: alice"


@pytest.mark.usefixtures("path")
def test_removing_says_whether_there_was_one() -> None:
    assert profiles.remove("alice") is False
    profiles.store(profile("alice"))
    profiles.store(profile("bob"))
    assert profiles.remove("carol") is False
    assert profiles.remove("alice") is True
    with pytest.raises(ProfileNotFound, match="no default one"):
        profiles.load()
    assert profiles.load("bob").name == "bob"


@pytest.mark.parametrize("loose", [0o604, 0o640, 0o644, 0o660, 0o666])
def test_a_file_that_others_may_read_is_refused(path: Path, loose: int) -> None:
    profiles.store(profile())
    path.chmod(loose)
    with pytest.raises(ConfigurationInvalid, match=f"its mode is 0{loose:o}") as caught:
        profiles.load("admin")
    assert "chmod 600" in str(caught.value.hint)
    with pytest.raises(ConfigurationInvalid):
        profiles.store(profile("alice"))


@pytest.mark.parametrize("loose", [0o770, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(path: Path, loose: int) -> None:
    profiles.store(profile())
    path.parent.chmod(loose)
    with pytest.raises(ConfigurationInvalid, match="others may replace"):
        profiles.load("admin")
    with pytest.raises(ConfigurationInvalid, match="others may replace"):
        profiles.store(profile("alice"))


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    profiles.store(profile())
    real = tmp_path / "real.toml"
    path.rename(real)
    path.symlink_to(real)
    with pytest.raises(ConfigurationInvalid, match="symbolic link"):
        profiles.load("admin")
    with pytest.raises(ConfigurationInvalid, match="symbolic link"):
        profiles.store(profile("alice"))
    assert "alice" not in real.read_text()


def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationInvalid, match="not a regular file"):
        profiles.load("admin")


def test_a_file_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.store(profile())
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationInvalid, match=f"belongs to UID {owner}"):
        profiles.load("admin")


def test_writers_at_the_same_moment_lose_nothing(path: Path) -> None:
    names = [f"user{number}" for number in range(8)]
    threads = [threading.Thread(target=profiles.store, args=(profile(name),)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {profiles.load(name).name for name in names} == set(names)
    assert mode(path) == 0o600


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    "bad",
    [
        {"token": ""},
        {"token": "two words"},
        {"token": "line\nX-Header: forged"},
        {"token": "tökén"},
        {"ca": "ca.pem"},
        {"ca": "/\udcff.pem"},
        {"server": "http://127.0.0.1:8443"},
        {"server": "https://a\nb"},
    ],
)
def test_what_could_never_work_is_not_stored(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        profiles.store(profile(**bad))
    assert "s3cret" not in str(caught.value)


def test_a_profile_does_not_show_its_token(path: Path) -> None:
    assert "s3cret" not in repr(profile())
    profiles.store(profile())
    path.write_text(path.read_text().replace("ca =", "ka ="))
    with pytest.raises(ConfigurationInvalid) as caught:
        profiles.load("admin")
    assert "s3cret" not in str(caught.value)
    assert str(path) in str(caught.value)
