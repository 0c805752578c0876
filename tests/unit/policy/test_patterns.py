from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.policy.environment import refused_variable
from jobworker.policy.patterns import (
    arguments_match,
    fixed_directory,
    matches,
    matches_any,
)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/opt/bin/*", "/opt/bin/x", True),
        ("/opt/bin/*", "/opt/bin/", True),
        ("/opt/bin/*", "/opt/bin/sub/x", False),
        ("/opt/*/x", "/opt/a/x", True),
        ("/opt/*/x", "/opt/a/b/x", False),
        ("/usr/bin/python3.?", "/usr/bin/python3.1", True),
        ("/usr/bin/python3.?", "/usr/bin/python3.11", False),
        ("a?b", "a/b", False),
        ("2026-*", "2026-01", True),
        ("2026-*", "2026-01\n", False),
        ("2026-*", "2026-01\r", True),
        ("a?b", "a\nb", False),
        ("a\nb", "a\nb", True),
        ("2026-*", "x2026-01", False),
        ("[a-z].", "b.", False),
        ("[a-z].", "[a-z].", True),
        ("", "", True),
        ("*", "", True),
        ("**", "a", True),
        ("*a*a", "aba", True),
        ("*ab", "aab", True),
    ],
)
def test_a_star_crosses_neither_a_slash_nor_a_lines_end(
    pattern: str, text: str, *, expected: bool
) -> None:
    assert matches(pattern, text) is expected


def slow(pattern: str, text: str, stops: str) -> bool:
    """The definition."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        one = text[:1] not in ("", *stops) and slow(pattern, text[1:], stops)
        return one or slow(rest, text, stops)
    same = text[:1] == head or (head == "?" and text[:1] not in ("", *stops))
    return same and slow(rest, text[1:], stops)


@given(st.text("ab/*?\n", max_size=8), st.text("ab/\n", max_size=8))
def test_the_fast_way_agrees_with_the_definition(pattern: str, text: str) -> None:
    assert matches(pattern, text) is slow(pattern, text, "/\n")
    assert matches(pattern, text, across_lines=True) is slow(pattern, text, "/")


def test_no_text_takes_long() -> None:
    """A client may send 2 MiB; a naive expression would take years for these."""
    started = time.process_time()
    assert not matches("*a*a*a*a*a*a*a*b", "a" * 2_000_000)
    assert not matches("*a?a*a?a*c", "a" * 2_000_000)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("patterns", "args", "expected"),
    [
        ([], [], True),
        ([], ["x"], False),
        (["--month", "2026-*"], ["--month", "2026-01"], True),
        (["--month", "2026-*"], ["--month"], False),
        (["--month", "2026-*"], ["--month", "2026-01", "x"], False),
        (["a", "..."], ["a"], True),
        (["a", "..."], ["a", "b", "/c"], True),
        (["a", "..."], ["b"], False),
        (["a", "..."], [], False),
        (["..."], [], True),
        (["...", "a"], ["...", "a"], True),
        (["...", "a"], ["x", "a"], False),
    ],
)
def test_arguments_one_by_one(patterns: list[str], args: list[str], *, expected: bool) -> None:
    assert arguments_match(patterns, args) is expected


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [("/opt/bin/*", "/opt/bin"), ("/opt/b?n/x", "/opt"), ("/*", "/"), ("/opt/x*/y", "/opt")],
)
def test_what_a_pattern_is_below(pattern: str, directory: str) -> None:
    assert fixed_directory(pattern) == directory


@given(
    st.lists(st.text("ab/*?|", max_size=4), max_size=4),
    st.text("ab/|", max_size=4),
)
def test_one_of_many_patterns_is_enough(patterns: list[str], text: str) -> None:
    assert matches_any(patterns, text) is any(matches(pattern, text) for pattern in patterns)


def test_many_names_are_compared_with_many_patterns_in_no_time() -> None:
    """T69: one by one, 90,000 variables took nine seconds."""
    names = {f"V{number}": "v" for number in range(90_000)}
    began = time.monotonic()
    assert refused_variable(names, (), with_account=False) is None
    assert time.monotonic() - began < 2.0  # a quarter of a second, on a machine that is busy
