"""The handlers of a job's output: as lines, as exact bytes, as a stream while it runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, closing

from msgspec import UNSET

from jobworker.api.answers import (
    CHUNK,
    BytesAnswer,
    StreamAnswer,
    bytes_answer,
    encode,
    json_answer,
)
from jobworker.api.decode import header
from jobworker.api.errors import error_answer
from jobworker.api.query import StreamQuery
from jobworker.api.resources import frames
from jobworker.api.service import Call, StreamBroken
from jobworker.api.views import LineGapView, OutputAnswer, line_gap_view
from jobworker.errors import RangeNotSatisfiable
from jobworker.model import Gap, JobId, Output, Stream
from jobworker.output import spans

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


async def lines(call: Call) -> BytesAnswer:
    """Both streams by lines."""
    output = await call.jobs.output(call.job.id)
    if len(output.stdout) + len(output.stderr) <= CHUNK:
        body = _render(call.job.id, output)
    else:
        body = await asyncio.to_thread(_render, call.job.id, output)
    return json_answer(body, 200)


def raw(stream: Stream) -> Callable[[Call], Awaitable[BytesAnswer | StreamAnswer]]:
    """The handler for the exact bytes of ``stream``."""

    async def handler(call: Call) -> BytesAnswer | StreamAnswer:
        """Read the exact bytes of one stream, or follow it."""
        query: StreamQuery = call.query
        if query.follow:
            return _follow(call, stream, query.offset)
        return await _stored(call, stream, query.offset)

    return handler


def lines_and_gaps(data: bytes, gaps: Iterable[Gap]) -> tuple[list[str], list[LineGapView]]:
    """The kept bytes of a stream by lines, each side of a gap for itself, and the gaps."""
    split: list[str] = []
    views: list[LineGapView] = []
    begin = missing = 0
    for gap in gaps:
        end = gap.start - missing
        split += split_lines(data[begin:end])
        views.append(line_gap_view(gap, len(split)))
        begin, missing = end, missing + gap.end - gap.start
    split += split_lines(data[begin:])
    return split, views


def split_lines(data: bytes) -> list[str]:
    r"""``data`` by ``\n``, without it; what is not UTF-8 becomes U+FFFD."""
    pieces = data.split(b"\n")
    if not pieces[-1]:
        pieces.pop()
    return [piece.decode("utf-8", "replace") for piece in pieces]


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


def _render(job_id: JobId, output: Output) -> bytes:
    (stdout, out_gaps), (stderr, err_gaps) = (
        lines_and_gaps(data, [gap for gap in output.gaps if gap.stream is stream])
        for stream, data in ((Stream.STDOUT, output.stdout), (Stream.STDERR, output.stderr))
    )
    gaps = [*out_gaps, *err_gaps] or UNSET
    return encode(OutputAnswer(id=job_id, stdout=stdout, stderr=stderr, gaps=gaps))


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
        chunks = spans.chunks(reader, stream, spans.part(kept, first, end), CHUNK)
        if end - first <= CHUNK:
            return bytes_answer(b"".join(chunks), status, *headers)
        length = (b"content-length", b"%d" % (end - first))
        pieces = _Pieces(chunks, end - first, opened.pop_all())
    return StreamAnswer(pieces, status, length, *headers)


def _range_header(call: Call) -> bytes | None:
    """The ``Range`` to honour: an ``If-Range`` cannot match, as nothing here has a validator."""
    if header(call.headers, b"if-range") is not None:
        return None
    return header(call.headers, b"range")


class _Pieces:
    """Chunks on their way to a client, from one reader: what is deleted while they go stays.

    Not a generator, as that would not close the reader where the sending never begins.
    """

    def __init__(self, chunks: Iterator[bytes], length: int, opened: ExitStack) -> None:
        self._chunks = chunks
        self._left = length
        self._opened = opened

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        chunk = await asyncio.to_thread(next, self._chunks, b"")
        if not chunk:
            raise StreamBroken("the output was removed while it was read")
        self._left -= len(chunk)
        return chunk

    async def aclose(self) -> None:
        self._opened.close()


def _follow(call: Call, stream: Stream, offset: int) -> StreamAnswer:
    chunks = call.jobs.follow(call.job.id, stream, offset)
    return StreamAnswer(chunks, 200, *_headers(call.job.id, stream))
