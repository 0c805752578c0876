"""HTTP/1.1 of the blocking client, against h11 wherever that has an opinion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, repeat

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.client import http1

OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = "it broke off"


def incoming(pieces: Iterable[bytes]) -> http1.Incoming:
    """What comes as ``pieces``, behind which the other side hangs up."""
    left = iter([piece for piece in pieces if piece])
    return http1.Incoming(lambda _: next(left, b""))


def answer(*pieces: bytes) -> http1.Answer:
    return http1.Answer(incoming(pieces))


def body(*pieces: bytes) -> bytes:
    return b"".join(answer(*pieces).body)


Read = tuple[int, str, Mapping[str, str], bytes] | str


def by_us(pieces: list[bytes]) -> Read:
    try:
        found = answer(*pieces)
        return found.status, found.reason, found.headers, b"".join(found.body)
    except EOFError:
        return BROKEN


def by_h11(pieces: list[bytes]) -> Read:
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    http.send(h11.EndOfMessage())
    left = iter([*filter(None, pieces), b""])
    head, data = None, b""
    try:
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                received = next(left)
                if not received and head is None:
                    return BROKEN
                http.receive_data(received)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                data += event.data
    except h11.RemoteProtocolError:
        return BROKEN
    assert head is not None
    headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return head.status_code, head.reason.decode("latin-1"), headers, data


@dataclass(frozen=True)
class Sent:
    """An answer as a server may send it, and as its bytes come."""

    pieces: list[bytes]

    @property
    def whole(self) -> bytes:
        return b"".join(self.pieces)


TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=9)
NAMES = st.sampled_from(["Retry-After", "content-type", "X-A"])
HEADERS = st.dictionaries(NAMES, TEXT, max_size=3)
PARTS = st.lists(st.binary(max_size=40), max_size=5)


@st.composite
def framed(draw: st.DrawFn, parts: list[bytes]) -> bytes:
    """The headers that say how long the body is, the blank line, and the body."""
    way = draw(st.sampled_from(["length", "chunks", "until the end"]))
    if way == "length":
        data = b"".join(parts)
        return b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
    if way == "until the end":
        return b"\r\n" + b"".join(parts)
    extension = draw(st.sampled_from([b"", b";a=b"]))
    trailer = draw(st.sampled_from([b"", b"X-T: 1\r\n"]))
    chunks = [b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part]
    return b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (b"".join(chunks), trailer)


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    information = b"HTTP/1.1 103 Early\r\nX-I: 1\r\n\r\n" * draw(st.integers(0, 2))
    version = draw(st.sampled_from(["1.1", "1.0"])) if not information else "1.1"
    status = draw(st.sampled_from(["200 OK", "204 No Content", "304 X", "404 Not Found", "503 "]))
    lines = [f"HTTP/{version} {status}"]
    lines += [f"{name}: {value}" for name, value in draw(HEADERS).items()]
    head = "".join(f"{line}\r\n" for line in lines).encode()
    raw = information + head + draw(framed(draw(PARTS)))
    raw = raw[: draw(st.sampled_from([len(raw), draw(st.integers(0, len(raw)))]))]
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    return Sent([raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)])


@given(sent())
def test_answers_are_read_as_h11_reads_them(sent: Sent) -> None:
    """However their bytes come, and wherever they break off."""
    assert by_us(sent.pieces) == by_h11(sent.pieces)


@given(sent())
def test_it_does_not_matter_how_the_bytes_come(sent: Sent) -> None:
    assert by_us(sent.pieces) == by_us([sent.whole[at : at + 1] for at in range(len(sent.whole))])


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"X-A: 1\r\n X-folded: 2\r\n\r\n",
        OK + b"X-A : 1\r\n\r\n",
        OK + b": 1\r\n\r\n",
        OK + b"X-A: 1\nContent-Length: 1\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1_0\r\n\r\n0123456789",
        OK + "Content-Length: ²\r\n\r\n".encode("latin-1"),
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        OK + b"Content-Length: 99999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(http1.BadAnswer):
        body(raw)


def test_an_encoding_is_known_whatever_its_case() -> None:
    assert body(OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n") == b"a"


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 ", OK + b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_head_without_end_is_given_up(begins: bytes) -> None:
    def pieces() -> Iterable[bytes]:
        yield begins
        while True:
            yield b"1" * 1000

    endless = iter(pieces())
    with pytest.raises(http1.BadAnswer, match="no end"):
        list(http1.Answer(http1.Incoming(lambda _: next(endless))).body)


@pytest.mark.parametrize(
    ("begins", "again"),
    [
        (b"", b"HTTP/1.1 103 Early\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: 1\r\n"),
    ],
)
def test_what_goes_on_beside_the_answer_is_given_up(begins: bytes, again: bytes) -> None:
    endless = chain([begins or again], repeat(again))
    with pytest.raises(http1.BadAnswer):
        list(http1.Answer(http1.Incoming(lambda _: next(endless))).body)


def test_a_body_is_passed_on_as_it_comes() -> None:
    """A follower sees a job's line when it is there, and not when a buffer is full."""
    read = iter([OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nline", b"\r\n0\r\n\r\n"])
    pieces = http1.Answer(http1.Incoming(lambda _: next(read))).body
    assert next(pieces) == b"line"
    assert list(pieces) == []


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
    ],
)
def test_whether_another_request_may_follow(head: bytes, *, reusable: bool) -> None:
    assert answer(head + b"\r\n").reusable is reusable


def test_headers_are_found_whatever_their_case() -> None:
    found = answer(OK + b"Retry-AFTER:\t7 \r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert found.headers["retry-after"] == "7"
    assert found.headers["x-a"] == "1, 2"


@pytest.mark.parametrize("body", [None, b"", b'{"a": 1}'])
def test_a_request_is_read_by_h11_as_it_was_meant(body: bytes | None) -> None:
    headers = {"Host": "h:1", "Authorization": "Bearer t"}
    if body is not None:
        headers["Content-Length"] = str(len(body))
    server = h11.Connection(h11.SERVER)
    server.receive_data(http1.request("POST", "/jobs?a=b", headers, body))
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert (head.method, head.target, head.http_version) == (b"POST", b"/jobs?a=b", b"1.1")
    assert [(name.decode(), value.decode()) for name, value in head.headers] == [
        (name.lower(), value) for name, value in headers.items()
    ]
    if body:
        event = server.next_event()
        assert isinstance(event, h11.Data)
        assert event.data == body
    assert isinstance(server.next_event(), h11.EndOfMessage)


@pytest.mark.parametrize(
    ("target", "value"), [("/a b", "x"), ("/a\r\n", "x"), ("/ä", "x"), ("/", "x\r\nX-B: 1")]
)
def test_nothing_smuggles_a_line_into_a_request(target: str, value: str) -> None:
    with pytest.raises(ValueError, match="holds what no request may"):
        http1.request("GET", target, {"X-A": value}, None)
