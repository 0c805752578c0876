"""Frames of output, read from wherever the network has cut them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client.frames import Decoder, End, Frame, decode
from support.journal import END, TIME, Journal


def line(**changes: object) -> bytes:
    frame = {"seq": 6, "time": TIME, "stream": "stdout", "data": "hello\n"} | changes
    return json.dumps(frame).encode()


@pytest.mark.parametrize(
    ("sent", "frame"),
    [
        (line(), Frame(6, TIME, "stdout", b"hello\n")),
        (line(stream="stderr", data="ä"), Frame(6, TIME, "stderr", "ä".encode())),
        (line(data="/w==", encoding="base64"), Frame(6, TIME, "stdout", b"\xff")),
        (line(data="", dropped=125_829_120), Frame(6, TIME, "stdout", b"", 125_829_120)),
    ],
)
def test_a_frame(sent: bytes, frame: Frame) -> None:
    assert decode(sent) == frame


def test_the_end_has_the_fields_of_the_job() -> None:
    end = decode(line(**END))
    assert end == End(
        6, TIME, status="Failed", exit_code=3, cause="exited", reason="exited with code 3"
    )
    assert (end.stream, end.data, end.dropped) == ("end", b"", 0)
    assert "status='Failed'" in repr(end)


def test_an_unknown_field_is_for_a_later_client() -> None:
    assert decode(line(colour="red")) == decode(line())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        line(stream="end"),
        line(data=5),
        line(data="?", encoding="base64"),
        line(encoding="rot13"),
        line(seq="x"),
        line(data="\ud800"),
    ],
)
def test_what_is_no_frame_says_so(sent: bytes) -> None:
    with pytest.raises(ValueError, match="is no frame of output"):
        decode(sent)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 30))
def test_the_cuts_of_the_network_do_not_matter(texts: list[bytes], width: int) -> None:
    body = Journal([("stdout", text) for text in texts]).body()
    decoder = Decoder()
    found = [
        frame for at in range(0, len(body), width) for frame in decoder.feed(body[at : at + width])
    ]
    assert b"".join(frame.data for frame in found) == b"".join(texts)
    assert [type(frame) for frame in found[-1:]] == [End]


def test_empty_lines_only_keep_the_connection_alive() -> None:
    assert list(Decoder().feed(b"\n\r\n" + line() + b"\n \n")) == [decode(line())]
