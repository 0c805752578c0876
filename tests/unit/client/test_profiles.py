"""Profiles are kept where nobody else may read or replace them (T43)."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from jobworker.client import config_file, profiles
from jobworker.client.profiles import Profile
from jobworker.errors import ConfigurationInvalid, ProfileNotFound


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file of the test; it does not exist yet."""
    path = tmp_path / "jobctl" / "config.json"
    monkeypatch.setenv("JOBCTL_CONFIG", str(path))
    monkeypatch.delenv("JOBCTL_USER", raising=False)
    monkeypatch.delenv("JOBCTL_SERVER", raising=False)
    return path


def profile(name: str = "admin", **changes: str) -> Profile:
    fields: dict[str, Any] = {
        "server": "https://127.0.0.1:8443",
        "ca": "/ca.pem",
        "token": "s3cret",
    }
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


def test_the_servers_own_socket_is_kept_with_the_profile(path: Path) -> None:
    profiles.store(profile())
    assert "socket" not in json.loads(path.read_text())["profiles"]["admin"]
    profiles.store(profile(socket="/state/jobd.sock"))
    loaded = profiles.load()
    assert (loaded.socket, loaded.by_socket) == ("/state/jobd.sock", False)
    with pytest.raises(ConfigurationInvalid, match="must be an absolute path"):
        profiles.store(profile(socket="jobd.sock"))


@pytest.mark.usefixtures("path")
def test_the_environment_names_the_way_and_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiles.store(profile(socket="/state/jobd.sock"))
    monkeypatch.setenv("JOBCTL_SERVER", "https://other:1")
    assert profiles.load().socket is None
    monkeypatch.setenv("JOBCTL_SERVER", "unix:/other/jobd.sock")
    loaded = profiles.load()
    assert (loaded.socket, loaded.by_socket) == ("/other/jobd.sock", True)
    assert loaded.server == "https://127.0.0.1:8443", "whose name the certificate has"


def test_nothing_but_the_file_and_its_lock_is_left(path: Path) -> None:
    profiles.store(profile())
    assert {file.name for file in path.parent.iterdir()} == {".config.json.lock", "config.json"}


def test_what_a_killed_writer_left_is_no_obstacle(path: Path) -> None:
    profiles.store(profile())
    (path.parent / ".config.json").write_text("half")
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
def test_where_there_is_no_default_one_the_next_to_be_stored_becomes_it() -> None:
    """Its only default was that of a user who was removed."""
    profiles.store(profile("alice"))
    profiles.store(profile("bob"))
    profiles.remove("alice")
    profiles.store(profile("carol"))
    assert profiles.load().name == "carol"


@pytest.mark.parametrize("default", [None, "gone"])
def test_the_first_profile_of_a_file_becomes_its_default_one(
    path: Path, default: str | None
) -> None:
    """Whatever else the file holds."""
    path.parent.mkdir(mode=0o700)
    path.write_text(json.dumps({"defaultProfile": default, "profiles": {}, "theme": "dark"}))
    path.chmod(0o600)
    profiles.store(profile("alice"))
    assert profiles.load().name == "alice"


@pytest.mark.usefixtures("path")
def test_the_environment_names_the_profile_and_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.store(profile("alice"))
    profiles.store(profile("bob"))
    monkeypatch.setenv("JOBCTL_USER", "bob")
    monkeypatch.setenv("JOBCTL_SERVER", "https://other:1")
    assert profiles.load().name == "bob"
    assert profiles.load("alice").server == "https://other:1"


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ("/own/profiles.json", "/own/profiles.json"),
        ("/own/profiles", "/own/profiles"),
        ("/own/profiles.toml", "/own/profiles.json"),
        ("/own.toml/profiles", "/own.toml/profiles"),
    ],
)
def test_a_name_from_when_it_was_toml_means_the_json_file(
    monkeypatch: pytest.MonkeyPatch, named: str, read: str
) -> None:
    monkeypatch.setenv("JOBCTL_CONFIG", named)
    assert profiles.config_path() == read


def test_the_default_place_is_below_the_configuration_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JOBCTL_CONFIG", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert profiles.config_path() == "/home/alice/.config/jobctl/config.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert profiles.config_path() == "/xdg/jobctl/config.json"


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


def test_what_a_newer_client_has_written_is_kept(path: Path) -> None:
    profiles.store(profile("alice"))
    document = json.loads(path.read_text())
    document["credentialHelpers"] = {"alice": [1, 2.5, None]}
    document["profiles"]["alice"]["expiresAt"] = "2030-01-01T00:00:00Z"
    path.write_text(json.dumps(document))
    profiles.store(profile("bob"))
    profiles.store(profile("alice", token="anew"))
    profiles.remove("bob")
    document["profiles"]["alice"]["token"] = "anew"
    assert json.loads(path.read_text()) == document


def test_what_was_kept_with_a_profile_is_not_taken_to_another_server(path: Path) -> None:
    profiles.store(profile())
    document = json.loads(path.read_text())
    document["profiles"]["admin"]["clientSecret"] = "for that server"
    path.write_text(json.dumps(document))
    profiles.store(profile(server="https://other:1", ca="/other.pem"))
    assert "clientSecret" not in path.read_text()


def test_a_torn_file_is_refused_and_left_as_it_is(path: Path) -> None:
    profiles.store(profile())
    whole = path.read_text().rstrip()
    for length in range(len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(ConfigurationInvalid, match="it is not JSON") as caught:
            profiles.load("admin")
        assert str(path) in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert "editor" in str(caught.value.hint)
        with pytest.raises(ConfigurationInvalid, match="it is not JSON"):
            profiles.store(profile("alice"))
        assert path.read_text() == whole[:length]


def test_toml_under_a_name_that_does_not_say_so_is_told_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = path.with_name("profiles")
    monkeypatch.setenv("JOBCTL_CONFIG", str(named))
    profiles.store(profile())
    named.write_text('default = "admin"\n')
    with pytest.raises(ConfigurationInvalid, match="it is not JSON") as caught:
        profiles.load("admin")
    assert f"rename it to {named}.toml" in str(caught.value.hint)


def test_a_file_that_is_too_large_is_neither_read_nor_written(path: Path) -> None:
    profiles.store(profile())
    path.write_text(path.read_text() + " " * config_file.MAX_SIZE)
    with pytest.raises(ConfigurationInvalid, match="bytes are more than") as caught:
        profiles.load("admin")
    assert str(path) in str(caught.value)
    path.unlink()
    profiles.store(profile())
    before = path.read_text()
    with pytest.raises(ConfigurationInvalid, match="bytes are more than"):
        profiles.store(profile("alice", token="x" * config_file.MAX_SIZE))
    assert path.read_text() == before


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


@pytest.mark.parametrize("loose", [0o777, 0o1777])
def test_nobody_is_told_to_change_the_mode_of_a_directory_that_is_for_others_too(
    path: Path, loose: int
) -> None:
    """JOBCTL_CONFIG=/tmp/profiles.json as root: the hint would break the machine."""
    profiles.store(profile())
    if loose == 0o777:
        (path.parent / "somebody's").touch()
    path.parent.chmod(loose)
    with pytest.raises(ConfigurationInvalid, match="others may replace") as caught:
        profiles.load("admin")
    hint = str(caught.value.hint)
    assert hint.startswith("keep the file in a directory of your own")
    assert "chmod" not in hint


def test_the_mode_of_a_directory_for_the_file_alone_is_to_be_changed(path: Path) -> None:
    profiles.store(profile())
    path.parent.chmod(0o777)
    with pytest.raises(ConfigurationInvalid) as caught:
        profiles.load("admin")
    assert caught.value.hint == f"chmod go-w {path.parent}"


def test_nobody_is_told_to_change_the_mode_of_a_file_that_holds_no_profiles(path: Path) -> None:
    """JOBCTL_CONFIG=/etc/passwd as root: the hint would break the machine."""
    path.parent.mkdir(mode=0o700)
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    path.chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match="others may read") as caught:
        profiles.load("admin")
    assert caught.value.hint == "it holds no profiles; name another file with JOBCTL_CONFIG"


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    profiles.store(profile())
    real = tmp_path / "real.json"
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
    path.write_text(path.read_text().replace('"ca"', '"ka"'))
    with pytest.raises(ConfigurationInvalid) as caught:
        profiles.load("admin")
    assert "s3cret" not in str(caught.value)
    assert str(path) in str(caught.value)
