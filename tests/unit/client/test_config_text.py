"""The configuration's text: JSON, written so that it is read back with all that it held."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client import config_text
from jobworker.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from jobworker.client.config_text import Config

text = st.text(st.characters(codec="utf-8"), max_size=12)
odd_text = st.text(st.characters(), max_size=12)  # lone surrogates, too
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=8,
)
others = st.dictionaries(odd_text, values, max_size=3)
fields = st.fixed_dictionaries({"server": odd_text, "ca": odd_text, "token": odd_text})
profiles = st.dictionaries(
    odd_text, st.builds(lambda more, known: more | known, others, fields), max_size=3
)
configs = st.builds(
    lambda more, known: more | known,
    others,
    st.fixed_dictionaries({"defaultProfile": st.none() | odd_text, "profiles": profiles}),
)

WRITTEN = """\
{
  "defaultProfile": "admin",
  "profiles": {
    "admin": {
      "server": "https://127.0.0.1:8443",
      "ca": "/ca.pem",
      "token": "secret"
    }
  }
}
"""
CONFIG: Config = {
    "defaultProfile": "admin",
    "profiles": {"admin": {"server": "https://127.0.0.1:8443", "ca": "/ca.pem", "token": "secret"}},
}


def test_the_form_is_this() -> None:
    assert config_text.render(CONFIG) == WRITTEN
    assert config_text.parse(WRITTEN) == CONFIG


@given(configs)
def test_what_is_written_is_read_back(config: Config) -> None:
    written = config_text.render(config)
    assert config_text.parse(written) == config
    assert config_text.render(config_text.parse(written)) == written


@given(configs)
def test_what_is_written_is_ascii_and_plain_json(config: Config) -> None:
    """Whatever reads it, in whatever locale, reads the same."""
    written = config_text.render(config)
    assert written.isascii()
    assert json.loads(written, parse_constant=pytest.fail) == config


@given(configs, st.sampled_from([None, "\t", 4]))
def test_the_layout_is_free(config: Config, indent: str | int | None) -> None:
    text = json.dumps(config, indent=indent, ensure_ascii=False)
    assert config_text.parse(text) == config


@given(st.lists(st.sampled_from([*"{}[],:\\", '"profiles"', '"a"', "1e999", "-", "NaN"])) | text)
def test_any_other_text_is_refused_in_our_words(tokens: list[str] | str) -> None:
    text = "".join(tokens)
    try:
        config = config_text.parse(text)
    except ConfigurationInvalid:
        return
    assert json.loads(config_text.render(config)) == config


def test_a_socket_is_text() -> None:
    fields = {"server": "s", "ca": "c", "token": "t", "socket": 5}
    with pytest.raises(ConfigurationInvalid, match=r"profiles\.admin\.socket is not a string"):
        config_text.parse(json.dumps({"profiles": {"admin": fields}}))


def test_what_may_be_left_out() -> None:
    assert config_text.parse("{}") == {"defaultProfile": None, "profiles": {}}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("", "it is not JSON: .* line 1"),
        ("[]", "it is not a JSON object"),
        ("\ufeff{}", "it is not JSON"),
        ("{} {}", "it is not JSON: Extra data"),
        (WRITTEN.replace("token", "tokn"), r"profiles\.admin\.token is missing"),
        (WRITTEN.replace('"secret"', "5"), r"profiles\.admin\.token is missing or not a string"),
        (WRITTEN.replace('"secret"', "'secret'"), "it is not JSON: .* line 7"),
        (WRITTEN.replace('"secret"', '"secret", "ca": "/b"'), "'ca' stands twice"),
        ('{"defaultProfile": 5}', "defaultProfile must be"),
        ('{"profiles": []}', "profiles must be"),
        ('{"profiles": {"admin": 5}}', r"profiles\.admin must be"),
        ('{"x": NaN}', "NaN is no number"),
        ('{"x": -Infinity}', "-Infinity is no number"),
        ('{"x": 1e999}', "too large"),
        (f'{{"x": {"1" * 5000}}}', "too many digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_file_is_refused_by_name(broken: str, says: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=says) as caught:
        config_text.parse(broken)
    assert "secret" not in str(caught.value)


def test_what_is_too_deep_to_be_written_is_refused_not_lost() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"x": deep}
    with pytest.raises(ConfigurationInvalid, match="nested too deeply"):
        config_text.render({**CONFIG, "x": deep})  # type: ignore[typeddict-unknown-key]
