"""Options are read as ``getopt`` reads them, which ``jobctl`` does not load."""

from __future__ import annotations

import getopt
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.cli.invocation import UsageError, read_options

if TYPE_CHECKING:
    from jobworker.cli.invocation import Option

KNOWN: tuple[Option, ...] = (
    ("user", "u", "NAME", ""),
    ("until", "", "TIME", ""),
    ("quiet", "q", "", ""),
    ("json", "", "", ""),
    ("jso", "", "FILE", ""),
)
WORDS = st.one_of(
    st.sampled_from(["--", "-", "-u", "-q", "-qu", "-uq", "-qux", "-x", "-:", "--u", "--us"]),
    st.sampled_from(["--user", "--user=", "--user=a=b", "--json", "--json=", "--js", "--jso"]),
    st.sampled_from(["--q", "--quiet=1", "--nothing", "--=", "---", "j-1", "", "a b", "-u-", "-="]),
    st.text("-=:uqx ", max_size=4),
)

Taken = tuple[list[tuple[str, str]], list[str]] | str


def by_us(words: list[str], *, until_first_word: bool) -> Taken:
    try:
        call = read_options(KNOWN, words, until_first_word=until_first_word, subject=" x")
    except UsageError as error:
        message, _, _ = str(error).partition("; ")
        return message
    return call.options, call.words


def by_getopt(words: list[str], *, until_first_word: bool) -> Taken:
    parse = getopt.getopt if until_first_word else getopt.gnu_getopt
    long = [name + "=" * bool(metavar) for name, _, metavar, _ in KNOWN]
    names = {f"-{letter}": name for name, letter, _, _ in KNOWN if letter}
    try:
        found, rest = parse(words, "u:q", long)
    except getopt.GetoptError as error:
        return error.msg
    return [(names.get(flag, flag[2:]), value) for flag, value in found], rest


@given(words=st.lists(WORDS, max_size=6), until_first_word=st.booleans())
def test_options_are_read_as_getopt_reads_them(words: list[str], *, until_first_word: bool) -> None:
    given = [*words]
    expected = by_getopt(words, until_first_word=until_first_word)
    assert by_us(words, until_first_word=until_first_word) == expected
    assert words == given, "the caller's words are not taken away"


@pytest.mark.parametrize(("value", "words"), [("1", ["j-1", "-q"]), ("", ["j-1"])])
def test_posixly_correct_ends_options_at_the_first_word(
    monkeypatch: pytest.MonkeyPatch, value: str, words: list[str]
) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", value)
    assert read_options(KNOWN, ["j-1", "-q"], until_first_word=False, subject="").words == words


def test_a_mistake_ends_with_where_to_look() -> None:
    with pytest.raises(UsageError, match=r"^option -u requires argument; see jobctl help status$"):
        read_options(KNOWN, ["-u"], until_first_word=False, subject=" status")
