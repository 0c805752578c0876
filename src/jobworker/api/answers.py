"""Answers in their form on the wire: JSON bodies, and streams of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

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


class _Ready(Response):
    """An answer whose headers are complete, so that none are worked out for it."""

    def __init__(self, body: bytes, status: int, headers: list[Header]) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = headers


def bytes_answer(body: bytes, status: int, *headers: Header) -> Response:
    """An answer with ``body``; ``headers`` must say what it is."""
    length = (b"content-length", str(len(body)).encode("ascii"))
    return _Ready(body, status, [length, *GUARDS, *headers])


def encode(body: Struct) -> bytes:
    """``body`` as JSON."""
    return _ENCODER.encode(body)


def json_answer(body: bytes, status: int, *headers: Header) -> Response:
    """An answer with ``body``, which is JSON."""
    return bytes_answer(body, status, (b"content-type", b"application/json"), *headers)


def html_answer(page: str) -> Response:
    """An answer with one of our own pages."""
    return bytes_answer(
        page.encode("utf-8"),
        200,
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", POLICY.encode("ascii")),
        (b"referrer-policy", b"no-referrer"),
    )


class StreamAnswer(Response):
    """An answer that is sent as it comes.

    Whatever ends the sending early, the chunks' generator is closed, so that it lets
    go of what it holds.
    """

    def __init__(self, chunks: AsyncIterator[bytes], status: int, *headers: Header) -> None:
        self.status_code = status
        self.background = None
        self.chunks = chunks
        self.raw_headers = [*GUARDS, *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # the shape of an ASGI application
        """Send the chunks; raises ``TimeoutError`` when the client does not take them."""
        following = asyncio.create_task(self._next())
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            # An empty piece sends the head off: a client sees at once that it is followed.
            await _send_piece(send, b"")
            while (chunk := await following) is not None:
                following = asyncio.create_task(self._next())
                await _send_piece(send, chunk)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            close = getattr(self.chunks, "aclose", None)
            if close is not None:
                await close()

    async def _next(self) -> bytes | None:
        """The next chunk; None after the last."""
        return await anext(self.chunks, None)


async def _send_piece(send: Send, piece: bytes) -> None:
    async with asyncio.timeout(SEND_BUDGET):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
