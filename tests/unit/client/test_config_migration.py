"""A TOML file of an earlier version becomes the JSON file, once, whatever happens meanwhile."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client import config_file, config_migration, config_text, profiles
from jobworker.client.profiles import Profile
from jobworker.errors import ConfigurationInvalid, ProfileNotFound

TOML = """\
# mine
default = "admin"

[profiles.admin]
server = "https://127.0.0.1:8443"
ca = "/ca.pem"
token = "s3cret"

[profiles."bob the builder"]
server = "https://other:1"
ca = "/ö\\u00fc.pem"
token = 's3cret2'
"""
DOCUMENT = {
    "defaultProfile": "admin",
    "profiles": {
        "admin": {"server": "https://127.0.0.1:8443", "ca": "/ca.pem", "token": "s3cret"},
        "bob the builder": {"server": "https://other:1", "ca": "/öü.pem", "token": "s3cret2"},
    },
}
BUDGET = 30.0
"""Seconds for a few Pythons to start, on a machine that may be busy."""


class Killed(BaseException):
    """Ends a call where a signal might have ended the process."""


@pytest.fixture
def legacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the version before has left: the TOML file and its lock."""
    legacy = tmp_path / "jobctl" / "config.toml"
    legacy.parent.mkdir(mode=0o700)
    legacy.with_name(".config.toml.lock").touch(0o600)
    legacy.touch(0o600)
    legacy.write_text(TOML)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("JOBCTL_CONFIG", "JOBCTL_USER", "JOBCTL_SERVER"):
        monkeypatch.delenv(name, raising=False)
    return legacy


@pytest.fixture
def path(legacy: Path) -> Path:
    return legacy.with_suffix(".json")


def names(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def moved(path: Path) -> Any:
    """What the moved file holds; there is nothing beside it but its lock."""
    assert names(path.parent) == {".config.json.lock", "config.json"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "call",
    [profiles.load, profiles.known, lambda: profiles.load("admin"), lambda: profiles.remove("x")],
)
def test_any_use_moves_it(path: Path, call: Callable[[], object]) -> None:
    call()
    assert moved(path) == DOCUMENT


def test_it_is_moved_before_it_is_changed(path: Path) -> None:
    profiles.store(Profile("carol", server="https://h:1", ca="/ca.pem", token="t"))
    assert set(moved(path)["profiles"]) == {"admin", "bob the builder", "carol"}


def test_what_is_moved_is_what_is_loaded(path: Path) -> None:
    assert profiles.load().token == "s3cret"
    assert profiles.load().token == "s3cret"
    assert moved(path) == DOCUMENT


def test_a_file_that_was_named_is_moved_in_the_same_way(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the name is still the one before or the new one."""
    named = legacy.rename(legacy.with_name("own.toml"))
    legacy.with_name(".config.toml.lock").rename(legacy.with_name(".own.toml.lock"))
    monkeypatch.setenv("JOBCTL_CONFIG", str(named))
    assert profiles.load().token == "s3cret"
    assert names(named.parent) == {".own.json.lock", "own.json"}
    monkeypatch.setenv("JOBCTL_CONFIG", str(named.with_suffix(".json")))
    assert profiles.load().token == "s3cret"


def test_a_toml_file_beside_a_json_file_is_not_looked_at(legacy: Path, path: Path) -> None:
    profiles.load()
    legacy.write_text("this is not TOML")
    legacy.chmod(0o644)
    assert profiles.load().token == "s3cret"
    profiles.remove("admin")
    assert legacy.read_text() == "this is not TOML"
    path.write_text("this is not JSON")
    with pytest.raises(ConfigurationInvalid, match=r"config\.json: it is not JSON"):
        profiles.load()


def test_a_key_of_somebody_else_is_moved_along(legacy: Path, path: Path) -> None:
    legacy.write_text("colour = [1, 2.5]\n" + TOML)
    profiles.load()
    assert moved(path) == DOCUMENT | {"colour": [1, 2.5]}


def test_an_empty_file_is_moved(legacy: Path, path: Path) -> None:
    legacy.write_text("")
    with pytest.raises(ProfileNotFound, match=r"config\.json has no default one"):
        profiles.load()
    assert moved(path) == {"defaultProfile": None, "profiles": {}}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (TOML.replace('s3cret"', "s3cret"), r"it is not TOML: .*line 7"),
        (TOML.replace("token", "tokn"), r"profiles\.admin\.token is missing"),
        ("default = 5", "defaultProfile must be"),
        ("since = 2026-01-31\n" + TOML, "it holds a date"),
        ("size = inf\n" + TOML, "Infinity is no number"),
        ("x = " + "[" * 5000, "nested too deeply"),
        ('{"profiles": {"admin": {}}}', r"profiles\.admin\.server is missing"),
        ('{"profiles": ', "it is not JSON"),
    ],
)
def test_what_cannot_be_moved_is_refused_by_name_and_left(
    legacy: Path, broken: str, says: str
) -> None:
    legacy.write_text(broken)
    before = names(legacy.parent)
    for call in (profiles.load, profiles.known):
        with pytest.raises(ConfigurationInvalid, match=f"cannot move {legacy}.*{says}") as caught:
            call()
        assert "s3cret" not in str(caught.value)
        assert "editor" in str(caught.value.hint)
    assert names(legacy.parent) == before
    with pytest.raises(ConfigurationInvalid, match=says):
        profiles.store(Profile("carol", server="https://h:1", ca="/ca.pem", token="t"))
    assert legacy.read_text() == broken
    assert not legacy.with_suffix(".json").exists()


@pytest.mark.parametrize("loose", [0o604, 0o640, 0o666])
def test_a_file_that_others_may_read_is_not_moved(legacy: Path, path: Path, loose: int) -> None:
    legacy.chmod(loose)
    for call in (profiles.load, lambda: profiles.remove("admin")):
        with pytest.raises(ConfigurationInvalid, match=f"its mode is 0{loose:o}") as caught:
            call()
        assert f"chmod 600 {legacy}" in str(caught.value.hint)
    assert not path.exists()


def test_a_directory_that_others_may_write_to_stops_it(legacy: Path) -> None:
    legacy.parent.chmod(0o770)
    with pytest.raises(ConfigurationInvalid, match="others may replace"):
        profiles.load()
    assert legacy.read_text() == TOML


def test_a_symbolic_link_is_not_moved(legacy: Path, path: Path, tmp_path: Path) -> None:
    real = legacy.rename(tmp_path / "real.toml")
    legacy.symlink_to(real)
    with pytest.raises(ConfigurationInvalid, match=r"config\.toml: it is a symbolic link"):
        profiles.load()
    assert not path.exists()
    assert real.read_text() == TOML


def test_a_file_of_somebody_else_is_not_moved(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = legacy.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationInvalid, match=f"belongs to UID {owner}"):
        profiles.load()
    assert legacy.read_text() == TOML


def test_a_reader_can_do_without_the_move_a_writer_cannot(
    legacy: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only file system, or a full one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(config_file, "_replace", refuse)
    assert profiles.load().token == "s3cret"
    assert profiles.known()[0] == ("admin", "https://127.0.0.1:8443")
    with pytest.raises(ConfigurationInvalid, match=f"cannot use {legacy}: Read-only"):
        profiles.store(Profile("carol", server="https://h:1", ca="/ca.pem", token="t"))
    assert legacy.read_text() == TOML
    assert not path.exists()


STEPS = ("open", "fsync", "rename", "unlink")


@pytest.mark.parametrize("step", range(13))
def test_a_move_that_was_killed_is_finished_by_the_next_call(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before any of its system calls; there is always one file, and never two."""
    left = step

    def dying(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in STEPS:
            patched.setattr(os, name, dying(name))
        try:
            config_migration.migrate(str(path), str(path.with_suffix(".toml")))
        except Killed:
            pass
        else:
            assert left >= 0
    assert len(names(path.parent) & {"config.json", "config.toml"}) == 1
    assert profiles.load("bob the builder").token == "s3cret2"
    profiles.store(Profile("carol", server="https://h:1", ca="/ca.pem", token="t"))
    document = json.loads(path.read_text())
    del document["profiles"]["carol"]
    assert document == DOCUMENT
    assert names(path.parent) - {".config.toml.lock"} == {".config.json.lock", "config.json"}


def test_a_file_that_is_moved_between_two_looks_is_found(
    legacy: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process moves it after this one has found no JSON file."""
    real = os.path.lexists
    looks = []

    def lexists(name: str) -> bool:
        found = real(name)
        looks.append(name)
        if looks == [str(path)]:
            config_migration.migrate(str(path), str(legacy))
        return found

    monkeypatch.setattr(os.path, "lexists", lexists)
    assert profiles.load("admin").token == "s3cret"
    assert moved(path) == DOCUMENT


def test_a_file_that_is_moved_after_it_was_seen_is_found(legacy: Path, path: Path) -> None:
    """Another process moves it, and changes it, after this one has seen the TOML file."""
    profiles.store(Profile("carol", server="https://h:1", ca="/ca.pem", token="t"))
    text = config_migration.read(str(path), str(legacy))
    assert text == path.read_text()
    assert "carol" in text
    config_migration.migrate(str(path), str(legacy))
    assert "carol" in moved(path)["profiles"]


def test_a_json_file_that_has_come_meanwhile_is_not_replaced(legacy: Path, path: Path) -> None:
    path.touch(0o600)
    config_migration.migrate(str(path), str(legacy))
    assert (path.read_text(), legacy.read_text()) == ("", TOML)


def test_processes_at_the_same_moment_lose_nothing(path: Path) -> None:
    """Half of them read, half of them store; all have found the TOML file first."""
    source = (
        "import sys; from jobworker.client import config_migration, profiles;"
        "path = profiles.config_path(); assert profiles._legacy_file(path);"
        "print(flush=True); sys.stdin.readline();"
        "name = sys.argv[1];"
        "profile = profiles.Profile(name, server='https://h:1', ca='/ca.pem', token='t');"
        "profiles.store(profile) if name else print(profiles.load('admin').token)"
    )
    arguments = ["", "u1", "", "u2", "", "u3"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for argument in arguments
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()  # each is ready
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process, argument in zip(processes, arguments, strict=True):
        told, _ = process.communicate(timeout=BUDGET)
        assert (process.returncode, told) == (0, "" if argument else "s3cret\n")
    document = moved(path)
    assert set(document["profiles"]) == {*DOCUMENT["profiles"], "u1", "u2", "u3"}
    assert document["defaultProfile"] == "admin"


text = st.text(st.characters(codec="utf-8"), max_size=12)
tables = st.dictionaries(
    text, st.fixed_dictionaries({"server": text, "ca": text, "token": text}), max_size=3
)


@given(text, tables)
def test_whatever_the_strings_they_mean_the_same(default: str, table: dict[str, Any]) -> None:
    def quoted(value: str) -> str:
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    lines = [f"default = {quoted(default)}"]
    for name, fields in table.items():
        lines.append(f"[profiles.{quoted(name)}]")
        lines += [f"{field} = {quoted(value)}" for field, value in fields.items()]
    converted = config_migration._convert("config.toml", "\n".join(lines))
    assert config_text.parse(converted) == {"defaultProfile": default, "profiles": table}
    assert config_migration._convert("config.toml", converted) == converted
