"""Sizes and durations as people write them, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65_536),
        ("512K", 524_288),
        ("512M", 536_870_912),
        ("512m", 536_870_912),
        ("1.5G", 1_610_612_736),
        (".5k", 512),
        ("0.1K", 102),
        ("2T", 2_199_023_255_552),
        ("64MiB", 67_108_864),
        ("64 MiB", 67_108_864),
        ("1KIB", 1024),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "M", "1.5", "-1", "1e9", "5MB", "5B", "5iB", "1.M", " 1", "1  K", "1_0", "٣", "5K\u0131b",
     "nan", "1P", "1.2.3K", "9" * 5000],
)  # fmt: skip
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write bytes, or 512K"):
        units.parse_size(text)


@given(st.integers(0, 1023), st.sampled_from(["KiB", "MiB", "GiB", "TiB"]))
def test_what_is_said_of_a_size_can_be_typed(count: int, unit: str) -> None:
    size = units.parse_size(f"{count} {unit}")
    said = units.size_text(size)
    assert said == "0 bytes" if not count else units.parse_size(said) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        (".5", 0.5),
        ("10s", 10),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d1h1m1s", 90_061),
        ("0.5h", 1800),
    ],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1", "1x", "1m1h", "1s1s", "1m30", "1e3", "nan", "inf", "1.", "1.s", " 1", "1_0",
     "٣", "9" * 400],
)  # fmt: skip
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write seconds, or 10s"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (59, "59s"), (60, "1m"), (90, "1m30s"), (90.5, "90.5s"),
     (5400.0, "1h30m"), (172_800, "2d")],
)  # fmt: skip
def test_a_duration_is_said_as_it_is_typed(seconds: float, text: str) -> None:
    assert units.duration_text(seconds) == text


@given(st.integers(0, 10**9))
def test_what_is_said_of_a_duration_can_be_typed(seconds: int) -> None:
    assert units.parse_duration(units.duration_text(seconds)) == seconds
