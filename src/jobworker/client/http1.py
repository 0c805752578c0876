"""HTTP/1.1 as a blocking connection speaks it: a request as bytes, an answer from bytes.

It imports nothing: ``http.client`` reads headers by ``email`` and h11 is made of dataclasses,
and ``jobctl`` would pay for either (docs/decisions/client-start-time.md). It reads less than
they do: what jobd and proxies send is taken, what could be read in two ways is refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LONGEST_HEAD = 64 * 1024
"""Bytes of a head, of the line before a chunk, or of the trailers: ten times what is usual."""

_MOST_HEADS = 100
"""Heads of information before the answer, and lines of trailers behind it: then it is no answer."""

_MOST_DIGITS = 16
"""Of a length, in any base: petabytes."""

_CHUNK = 64 * 1024
"""Most bytes that are taken at once."""


class BadAnswer(ValueError):
    """The answer of somebody who does not speak HTTP/1.1 as we do."""


def request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request; raises ``ValueError`` for what would not be one."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    # A line break in a value would begin a header, or a request, of its own.
    if " " in target or not all(line.isascii() and line.isprintable() for line in lines):
        raise ValueError(f"{method} {target!r} holds what no request may")
    return "\r\n".join((*lines, "", "")).encode("ascii") + (body or b"")


class Incoming:
    """The bytes that come over one connection, in the portions in which they are wanted.

    ``receive`` takes the most bytes that it may return, and returns none at the end of all.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._held = b""
        self._at = 0

    def is_empty(self) -> bool:
        """Whether everything that has come was taken."""
        return self._at == len(self._held)

    def until(self, mark: bytes) -> bytes:
        """Takes all up to ``mark``, and that too, which is not returned."""
        while (end := self._held.find(mark, self._at)) < 0:
            if len(self._held) - self._at > _LONGEST_HEAD:
                raise BadAnswer("the head of its answer has no end")
            self._held = self._held[self._at :] + self._more()
            self._at = 0
        taken = self._held[self._at : end]
        self._at = end + len(mark)
        return taken

    def some(self, most: int) -> bytes:
        """Takes at least one byte and at most ``most``; waits only where none has come."""
        if self.is_empty():
            self._held, self._at = self._more(), 0
        taken = self._held[self._at : self._at + most]
        self._at += len(taken)
        return taken

    def rest(self) -> Iterator[bytes]:
        """All that comes until the other side hangs up."""
        while True:
            try:
                yield self.some(_CHUNK)
            except EOFError:
                return

    def _more(self) -> bytes:
        data = self._receive(_CHUNK)
        if not data:
            raise EOFError("it hung up")
        return data


class Answer:
    """An answer whose head has been read, and whose body is read by ``body``.

    Raises, as ``body`` does, ``BadAnswer``, ``EOFError`` where the other side has hung up
    before the end, and what ``receive`` raises.
    """

    def __init__(self, incoming: Incoming) -> None:
        version, self.status, self.reason, self.headers = _final_head(incoming)
        length = self.headers.get("content-length")
        self.reusable = version == "HTTP/1.1" and "close" not in self._words("connection")
        if self.status in (204, 304):
            self.body: Iterator[bytes] = iter(())
        elif "transfer-encoding" in self.headers:
            if length is not None or self._words("transfer-encoding") != ["chunked"]:
                raise BadAnswer("its answer has an unknown encoding, or two lengths")
            self.body = _chunks(incoming)
        elif length is not None:
            self.body = _exactly(incoming, _number(length, 10))
        else:
            self.reusable = False
            self.body = incoming.rest()

    def _words(self, header: str) -> list[str]:
        return [word.strip(" \t") for word in self.headers.get(header, "").lower().split(",")]


def _final_head(incoming: Incoming) -> tuple[str, int, str, dict[str, str]]:
    """The version, the status, the text beside it and the headers, by names in lower case."""
    for _ in range(_MOST_HEADS):
        first, *lines = incoming.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        digits, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(digits) != 3:
            raise BadAnswer("its answer is not HTTP/1.1")
        status = _number(digits, 10)
        if status < 100:
            raise BadAnswer("its answer is not HTTP/1.1")
        if status == 101 or status >= 200:  # what comes before is information
            return version, status, reason, _headers(lines)
    raise BadAnswer("its answer never comes")


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise BadAnswer("a header of its answer is none")
        name, text = name.lower(), text.strip(" \t")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _exactly(incoming: Incoming, left: int) -> Iterator[bytes]:
    while left:
        data = incoming.some(left)
        left -= len(data)
        yield data


def _chunks(incoming: Incoming) -> Iterator[bytes]:
    while size := _number(incoming.until(b"\r\n").partition(b";")[0].decode("latin-1"), 16):
        yield from _exactly(incoming, size)
        if incoming.until(b"\r\n"):
            raise BadAnswer("a chunk of its answer is longer than it says")
    for _ in range(_MOST_HEADS):
        if not incoming.until(b"\r\n"):
            return
        # a trailer: nothing that we ask for has one
    raise BadAnswer("its answer has no end")


def _number(text: str, base: int) -> int:
    digits = text.rstrip(" \t") if base == 16 else text
    # int would take a sign, underscores and other alphabets' digits as well.
    if not 0 < len(digits) <= _MOST_DIGITS or not set(digits.lower()) <= _DIGITS[base]:
        raise BadAnswer("a length of its answer is no number")
    return int(digits, base)


_DIGITS = {10: frozenset("0123456789"), 16: frozenset("0123456789abcdef")}
