"""Answers of one piece that may be large: each has a share of the memory until it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from jobworker.api.answers import BytesAnswer, StreamAnswer, encode, json_answer
from jobworker.api.memory import SMALL, AnswerStream, Share
from jobworker.api.service import Call, StreamBroken

SEND_BUDGET = 120.0
"""Most seconds for the whole of a large answer: who is slower would keep others from theirs. The
largest then needs 100 KB a second."""


async def json_in_memory(
    call: Call, most: int, body: Callable[[], Awaitable[Struct]]
) -> BytesAnswer | StreamAnswer:
    """The answer with a body of some ``most`` bytes, made once there is room for it.

    Raises ``ServiceUnavailable`` where there is none for a while, and what ``body`` raises.
    """
    share = await call.service.answers.share(call.user.name, most)
    try:
        data = encode(await body())
        if len(data) <= SMALL:
            share.release()
            return json_answer(data, 200)
        share.resize(len(data))
    except BaseException:
        share.release()
        raise
    head = (b"content-length", b"%d" % len(data)), (b"content-type", b"application/json")
    return StreamAnswer(_Slices(data, call.stream, share), 200, *head)


class _Slices:
    """A body in chunks on its way to a client, and the share that it takes.

    Not a generator, as that would not give the share back where the sending never begins.
    """

    def __init__(self, data: bytes, stream: AnswerStream, share: Share) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._stream = stream
        self._share = share
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + SEND_BUDGET

    def __aiter__(self) -> _Slices:
        return self

    async def __anext__(self) -> bytes:
        if self._at == len(self._data):
            raise StopAsyncIteration
        if self._now() > self._end:
            raise StreamBroken("the client takes its answer too slowly")
        chunk = bytes(self._data[self._at : self._at + self._stream.chunk()])
        self._at += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self._share.release()
