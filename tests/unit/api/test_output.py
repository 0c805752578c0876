"""Lines and ranges of output: the pure part."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from jobworker.api.resources import lines as lines_module
from jobworker.api.resources.lines import Lines, LineWriter
from jobworker.api.resources.output import chosen_range
from jobworker.api.views import OutputAnswer
from jobworker.errors import RangeNotSatisfiable
from jobworker.model import JobId, Stream
from jobworker.testing.output import MemoryOutput


def written(*pieces: bytes) -> list[str]:
    """The lines of bytes that came in these pieces."""
    writer = LineWriter()
    inner = b"".join([*map(writer.write, pieces), writer.close()])
    lines = json.loads(b"[" + inner + b"]")
    assert writer.count == len(lines)
    return list(lines)


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
def test_lines_are_split_at_line_ends_alone(data: bytes, lines: list[str]) -> None:
    assert written(data) == lines


@given(st.lists(st.text().filter(lambda line: "\n" not in line)))
def test_lines_come_back_whole(lines: list[str]) -> None:
    assert written("".join(f"{line}\n" for line in lines).encode()) == lines


@given(st.lists(st.binary() | st.text(alphabet='\n\\n"a\u20ac').map(str.encode)))
def test_it_makes_no_difference_where_bytes_are_cut(pieces: list[bytes]) -> None:
    split = b"".join(pieces).split(b"\n")
    if not split[-1]:
        split.pop()
    assert written(*pieces) == [line.decode("utf-8", "replace") for line in split]


def answered(output: MemoryOutput) -> OutputAnswer:
    """The document of an output, as its type says it is."""
    found = Lines(JobId.new(), output, None, lambda: 1000)
    return msgspec.json.decode(b"".join(found.render()), type=OutputAnswer)


def test_what_there_is_no_room_for_is_told_as_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """T67: the last bytes are answered, from a whole line on."""
    monkeypatch.setattr(lines_module, "MOST", 1000)
    output = MemoryOutput()
    output.append(Stream.STDOUT, b"123456\n" * 1000)
    output.append(Stream.STDERR, b"ab\n")
    answer = answered(output)
    assert answer.stderr == ["ab"]
    assert set(answer.stdout) == {"123456"}
    assert answer.gaps
    (gap,) = answer.gaps
    assert (gap.stream, gap.start, gap.line, gap.left_out) == ("stdout", 0, 0, True)
    assert gap.end == 7000 - 7 * len(answer.stdout)
    assert 980 <= 7 * len(answer.stdout) <= 997


def test_gaps_within_what_is_answered_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MOST", 100)
    output = MemoryOutput()
    output.append(Stream.STDERR, b"x" * 500)
    output.skip(Stream.STDERR, 7)
    output.append(Stream.STDERR, b"y" * 60)
    answer = answered(output)
    assert answer.stdout == []
    assert answer.stderr == ["x" * 40, "y" * 60]
    told = [(gap.start, gap.end, gap.line, gap.left_out) for gap in answer.gaps or ()]
    assert told == [(0, 460, 0, True), (500, 507, 1, UNSET)]


def test_two_long_streams_share_what_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MOST", 100)
    output = MemoryOutput()
    for stream in (Stream.STDOUT, Stream.STDERR):
        output.append(stream, b"x" * 500)
    answer = answered(output)
    assert answer.stdout == answer.stderr == ["x" * 50]


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
