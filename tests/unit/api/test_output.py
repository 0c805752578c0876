"""Lines and ranges of output: the pure part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.api.resources.output import chosen_range, split_lines
from jobworker.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\rc\n", ["a\r", "b\rc"]),
        (b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f", ["a\x0bb\x0cc\x1cd\x85e\u2028f"]),
        (b"\xff\xfe\n\xc3", ["\ufffd\ufffd", "\ufffd"]),
        (b"\x00\n\x1b[31m", ["\x00", "\x1b[31m"]),
    ],
)
def test_split_lines(data: bytes, lines: list[str]) -> None:
    assert split_lines(data) == lines


@given(st.lists(st.text().filter(lambda line: "\n" not in line)))
def test_lines_come_back_whole(lines: list[str]) -> None:
    assert split_lines("".join(f"{line}\n" for line in lines).encode()) == lines


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (None, None),
        (b"bytes=0-", (0, 10)),
        (b"bytes=0-0", (0, 1)),
        (b"bytes=3-5", (3, 6)),
        (b"bytes=3-99", (3, 10)),
        (b"bytes=9-", (9, 10)),
        (b"bytes=-3", (7, 10)),
        (b"bytes=-99", (0, 10)),
        (b"bytes=5-3", None),
        (b"bytes=-", None),
        (b"bytes=0-1,3-4", None),
        (b"bytes=a-b", None),
        (b"bytes= 0-1", None),
        (b"items=0-1", None),
        (b"bytes=" + b"9" * 50 + b"-", None),
        (b"\xff", None),
    ],
)
def test_ranges(value: bytes | None, chosen: tuple[int, int] | None) -> None:
    assert chosen_range(value, 10) == chosen


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"bytes=10-", 10),
        (b"bytes=10-20", 10),
        (b"bytes=-0", 10),
        (b"bytes=0-", 0),
        (b"bytes=-1", 0),
    ],
)
def test_ranges_past_the_end(value: bytes, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        chosen_range(value, size)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 40))
def test_a_range_is_what_a_slice_is(first: int, last: int, size: int) -> None:
    data = bytes(range(size))
    if first >= size:
        return
    chosen = chosen_range(b"bytes=%d-%d" % (first, last), size)
    if last < first:
        assert chosen is None
    else:
        assert chosen is not None
        assert data[slice(*chosen)] == data[first : last + 1]
