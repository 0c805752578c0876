"""The handlers of a job's output: as lines, as exact bytes, as a stream while it runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing

from jobworker.api.answers import BytesAnswer, StreamAnswer, bytes_answer, json_answer
from jobworker.api.decode import header
from jobworker.api.errors import error_answer
from jobworker.api.memory import SMALL
from jobworker.api.query import StreamQuery
from jobworker.api.resources import frames
from jobworker.api.resources.lines import Lines
from jobworker.api.service import Call, StreamBroken
from jobworker.errors import JobNotFound, RangeNotSatisfiable
from jobworker.model import Job, JobId, Stream
from jobworker.output import spans
from jobworker.output.reader import OutputReader

_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")

_AS_BYTES = (
    (b"content-type", b"application/octet-stream"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)
"""Output is whatever a program wrote, so no browser may take it for a page."""


async def output(call: Call) -> BytesAnswer | StreamAnswer:
    """Both streams: by lines as far as they have come, or as frames in their order.

    Frames come where `Accept` asks for them or with `follow`, which goes on until the job
    has ended; the last frame then says how. Where they end without it, come back with
    `after`: no byte is lost or repeated.
    """
    form = frames.asked_for(call)
    return await lines(call) if form is None else frames.answer(call, form)


async def lines(call: Call) -> BytesAnswer | StreamAnswer:
    """Both streams by lines."""
    with ExitStack() as opened:
        reader = opened.enter_context(closing(call.jobs.reader(call.job.id)))
        chunk = call.stream.chunk
        found, small = await asyncio.to_thread(_begin, call.job, reader, chunk)
        if small is not None:
            return json_answer(small, 200)
        pieces = _Pieces(found.render(), opened.pop_all())
    return StreamAnswer(pieces, 200, (b"content-type", b"application/json"))


def raw(stream: Stream) -> Callable[[Call], Awaitable[BytesAnswer | StreamAnswer]]:
    """The handler for the exact bytes of ``stream``."""

    async def handler(call: Call) -> BytesAnswer | StreamAnswer:
        """Read the exact bytes of one stream, or follow it."""
        query: StreamQuery = call.query
        if query.follow:
            return _follow(call, stream, query.offset)
        return await _stored(call, stream, query.offset)

    return handler


def chosen_range(value: bytes | None, size: int) -> tuple[int, int] | None:
    """The bytes ``[first, end)`` that a ``Range`` header asks for, of ``size`` in all.

    None stands for all of them: where there is no header, and where RFC 9110 lets a
    server ignore it (several ranges, another unit, a form that is not valid). Raises
    ``RangeNotSatisfiable``.
    """
    match = _RANGE.fullmatch(value) if value is not None else None
    if match is None or match[0] == b"bytes=-":
        return None
    if not match[1]:
        first, end = max(size - int(match[2]), 0), size
    else:
        first = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(f"there are {size} bytes of output")
    return first, end


def _begin(job: Job, reader: OutputReader, chunk: Callable[[], int]) -> tuple[Lines, bytes | None]:
    """The lines to be answered, and where they are few the whole document.

    Raises ``JobNotFound`` where the output has just been removed.
    """
    found = Lines(job.id, reader, job.end, chunk)
    if found.size > SMALL:
        return found, None
    try:
        return found, b"".join(found.render())
    except StreamBroken:
        raise JobNotFound from None


def _headers(job_id: JobId, stream: Stream) -> tuple[tuple[bytes, bytes], ...]:
    name = f'attachment; filename="{job_id}.{stream.file_name}"'.encode("ascii")
    return (*_AS_BYTES, (b"content-disposition", name), (b"accept-ranges", b"bytes"))


async def _stored(call: Call, stream: Stream, offset: int) -> BytesAnswer | StreamAnswer:
    """The bytes that are kept now from that place on, or the range that was asked for."""
    with ExitStack() as opened:
        reader = opened.enter_context(closing(call.jobs.reader(call.job.id)))
        kept = [(max(at, offset), end) for at, end in reader.spans(stream) if end > offset]
        size = spans.length(kept)
        headers = _headers(call.job.id, stream)
        try:
            part = None if offset else chosen_range(_range_header(call), size)
        except RangeNotSatisfiable as error:
            return error_answer(error, (b"content-range", b"bytes */%d" % size))
        first, end = part or (0, size)
        if part:
            headers = (*headers, (b"content-range", b"bytes %d-%d/%d" % (first, end - 1, size)))
        status = 206 if part else 200
        room = call.stream.chunk
        chunks = spans.chunks(reader, stream, spans.part(kept, first, end), room)
        if end - first <= SMALL:
            return bytes_answer(b"".join(chunks), status, *headers)
        length = (b"content-length", b"%d" % (end - first))
        pieces = _Pieces(_all_of(chunks, end - first), opened.pop_all())
    return StreamAnswer(pieces, status, length, *headers)


def _all_of(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The chunks, ``length`` bytes in all; raises ``StreamBroken`` where there are fewer."""
    for chunk in chunks:
        yield chunk
        length -= len(chunk)
    if length:
        raise StreamBroken("the output was removed while it was read")


def _range_header(call: Call) -> bytes | None:
    """The ``Range`` to honour: an ``If-Range`` cannot match, as nothing here has a validator."""
    if header(call.headers, b"if-range") is not None:
        return None
    return header(call.headers, b"range")


class _Pieces:
    """Chunks on their way to a client, from one reader: what is deleted while they go stays.

    Not a generator, as that would not close the reader where the sending never begins.
    """

    def __init__(self, chunks: Iterator[bytes], opened: ExitStack) -> None:
        self._chunks = chunks
        self._opened = opened

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        while (chunk := await asyncio.to_thread(next, self._chunks, None)) is not None:
            if chunk:
                return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._opened.close()


def _follow(call: Call, stream: Stream, offset: int) -> StreamAnswer:
    chunks = call.jobs.follow(call.job.id, stream, offset, room=call.stream.chunk)
    return StreamAnswer(chunks, 200, *_headers(call.job.id, stream))
