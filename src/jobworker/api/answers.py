"""Answers in their form on the wire: JSON bodies, and streams of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from jobworker.api.asgi import Message, Send
from jobworker.api.document.pages import POLICY
from jobworker.model import JobId

SEND_BUDGET = 120.0
"""Most seconds that a client may take for one chunk of a stream.

With chunks of ``CHUNK`` bytes that allows any client that reads 2 KiB a second, and
lets go of one whose connection is half open.
"""

CHUNK = 256 * 1024
"""Most bytes of one chunk of output. A slow reader has six in memory: one is read ahead, one
waits for a place, and granian queues up to four on a connection."""

GUARDS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""On every answer: none may be stored, and no browser may guess what it is."""

Header = tuple[bytes, bytes]


def _plain(value: object) -> str:
    """The text of an ID, whose class msgspec does not encode by itself."""
    if isinstance(value, JobId):
        return str(value)
    raise NotImplementedError(f"cannot answer with a {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


@dataclass(frozen=True, slots=True)
class BytesAnswer:
    """An answer that is sent whole."""

    body: bytes
    status: int
    headers: tuple[Header, ...]

    async def send(self, send: Send, prefix: str = "") -> None:
        """Sends it; ``prefix`` is ``websocket.`` for a client that asked for a WebSocket."""
        await send(_head(self.status, self.headers, prefix))
        await send({"type": f"{prefix}http.response.body", "body": self.body})


def bytes_answer(body: bytes, status: int, *headers: Header) -> BytesAnswer:
    """An answer with ``body``; ``headers`` must say what it is."""
    return BytesAnswer(body, status, ((b"content-length", b"%d" % len(body)), *headers))


def encode(body: Struct) -> bytes:
    """``body`` as JSON."""
    return _ENCODER.encode(body)


def json_answer(body: bytes, status: int, *headers: Header) -> BytesAnswer:
    """An answer with ``body``, which is JSON."""
    return bytes_answer(body, status, (b"content-type", b"application/json"), *headers)


def html_answer(page: str) -> BytesAnswer:
    """An answer with one of our own pages."""
    return bytes_answer(
        page.encode("utf-8"),
        200,
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", POLICY.encode("ascii")),
        (b"referrer-policy", b"no-referrer"),
    )


class StreamAnswer:
    """An answer that is sent as it comes.

    Whatever ends the sending early, the chunks' generator is closed, so that it lets
    go of what it holds.
    """

    def __init__(self, chunks: AsyncIterator[bytes], status: int, *headers: Header) -> None:
        self.chunks = chunks
        self.status = status
        self.headers = headers

    async def send(self, send: Send, note: Callable[[int], None]) -> None:
        """Sends the chunks, and tells ``note`` the size of each once it is in memory.

        Raises ``TimeoutError`` when the client does not take them.
        """
        following = asyncio.create_task(self._next(note))
        try:
            await send(_head(self.status, self.headers))
            # An empty piece sends the head off: a client sees at once that it is followed.
            await _send_piece(send, b"")
            while (chunk := await following) is not None:
                following = asyncio.create_task(self._next(note))
                await _send_piece(send, chunk)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self.discard()

    async def discard(self) -> None:
        """Lets go of what the chunks hold, sent or not."""
        close = getattr(self.chunks, "aclose", None)
        if close is not None:
            await close()

    async def _next(self, note: Callable[[int], None]) -> bytes | None:
        """The next chunk; None after the last."""
        chunk = await anext(self.chunks, None)
        if chunk is not None:
            note(len(chunk))
        return chunk


def _head(status: int, headers: tuple[Header, ...], prefix: str = "") -> Message:
    kind = f"{prefix}http.response.start"
    return {"type": kind, "status": status, "headers": [*GUARDS, *headers]}


async def _send_piece(send: Send, piece: bytes) -> None:
    async with asyncio.timeout(SEND_BUDGET):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
