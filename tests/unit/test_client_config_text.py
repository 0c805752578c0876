"""The configuration's text: what is written is TOML, and is read back the short way."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client import config_text
from jobworker.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from jobworker.client.config_text import Config

text = st.text(st.characters(codec="utf-8"), max_size=12)
profiles = st.dictionaries(
    text, st.fixed_dictionaries({"server": text, "ca": text, "token": text}), max_size=3
)
configs = st.fixed_dictionaries({"default": st.none() | text.filter(bool), "profiles": profiles})

WRITTEN = """\
default = "admin"

[profiles.admin]
server = "https://127.0.0.1:8443"
ca = "/ca.pem"
token = "secret"
"""
CONFIG: Config = {
    "default": "admin",
    "profiles": {"admin": {"server": "https://127.0.0.1:8443", "ca": "/ca.pem", "token": "secret"}},
}


def test_the_form_is_this() -> None:
    assert config_text.render(CONFIG) == WRITTEN


@given(configs)
def test_what_is_written_is_toml_of_the_same_meaning(config: Config) -> None:
    table = tomllib.loads(config_text.render(config))
    assert table.get("default") == config["default"]
    assert table.get("profiles", {}) == config["profiles"]


@given(configs)
def test_what_is_written_is_read_back(config: Config) -> None:
    assert config_text.parse(config_text.render(config)) == config


def test_what_was_written_is_read_without_tomllib(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise AssertionError("tomllib was used")

    monkeypatch.setattr(tomllib, "loads", refuse)
    assert config_text.parse(WRITTEN) == CONFIG


@pytest.mark.parametrize(
    "edited",
    [
        "# mine\n" + WRITTEN,
        WRITTEN.replace('"secret"', "'secret'"),
        WRITTEN.replace(" = ", "="),
        WRITTEN + "\n\n",
        WRITTEN.replace("[profiles.admin]", "[ profiles . admin ]  # the boss"),
        WRITTEN.replace("\n", "\r\n"),
    ],
)
def test_an_edited_file_means_what_toml_says(edited: str) -> None:
    assert config_text.parse(edited) == CONFIG


@given(st.lists(st.sampled_from([*WRITTEN.splitlines(), '"""', "#", "'", "= 1", "\\"]), max_size=8))
def test_whatever_the_text_it_means_what_toml_says(lines: list[str]) -> None:
    """The short way may never disagree with tomllib."""
    edited = "\n".join(lines)
    try:
        config = config_text.parse(edited)
    except ConfigurationInvalid:
        return
    table = tomllib.loads(edited)
    assert config == {"default": table.get("default"), "profiles": table.get("profiles", {})}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (WRITTEN.replace("token", "tokn"), "unknown setting profiles.admin.tokn"),
        (WRITTEN.replace('token = "secret"\n', ""), "profiles.admin.token is missing"),
        (WRITTEN.replace('"secret"', "5"), "profiles.admin.token is missing or not a string"),
        ("colour = 1\n" + WRITTEN, "unknown setting colour"),
        ("default = 5\n", "default must be"),
        ("profiles = 5\n", "profiles must be"),
        ("profiles.admin = 5\n", "profiles.admin must be"),
        ("default = \n", "line 1"),
    ],
)
def test_a_broken_file_is_refused_by_name(broken: str, says: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=says) as caught:
        config_text.parse(broken)
    assert "secret" not in str(caught.value)
