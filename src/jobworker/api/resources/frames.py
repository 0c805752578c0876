"""Output as frames on the wire: a line of JSON each, or a server-sent event each."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from msgspec import UNSET, Struct

from jobworker.api import wire
from jobworker.api.answers import StreamAnswer, encode
from jobworker.api.decode import header
from jobworker.api.memory import AnswerStream
from jobworker.api.query import OutputQuery
from jobworker.api.service import Call
from jobworker.api.views import EndFrame, GapFrame, OutputFrame
from jobworker.errors import InvalidRequest
from jobworker.model import Job, Stream, from_nanoseconds, nanoseconds
from jobworker.output.frames import BOTH, FRAME_COST, Frame, Selection

KEEP_ALIVE = 15.0
"""Seconds without a frame after which a comment is sent as an event: less than what proxies
allow an idle connection."""

_LONGEST_NUMBER = 18
_COMMENT = b":\n\n"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to send frames."""

    media: str
    frame: Callable[[int, Struct], bytes]
    end: Callable[[int, Struct], bytes]
    head: bytes = b""
    idle: float | None = None


def _line(_: int, frame: Struct) -> bytes:
    return encode(frame) + b"\n"


def _event(seq: int, frame: Struct) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (seq, encode(frame))


def _end_event(seq: int, frame: Struct) -> bytes:
    return b"event: end\n" + _event(seq, frame)


LINES = Form(wire.FRAMES_AS_LINES.name, _line, _line)
EVENTS = Form(
    wire.FRAMES_AS_EVENTS.name, _event, _end_event, head=b"retry: 1000\n\n", idle=KEEP_ALIVE
)


def asked_for(call: Call) -> Form | None:
    """The form in which frames are wanted; None where lines are. Raises ``InvalidRequest``."""
    query: OutputQuery = call.query
    accept = (header(call.headers, b"accept") or b"").decode("latin-1").lower()
    for form in (EVENTS, LINES):
        if form.media in accept:
            return form
    if query.follow:
        return LINES
    for name in ("after", "since", "until", "tail", "stream"):
        if getattr(query, name) not in (0, UNSET):
            raise InvalidRequest(
                f"{name}: only for frames",
                field=name,
                hint=f"send Accept: {LINES.media}, or follow=true",
            )
    return None


def answer(call: Call, form: Form) -> StreamAnswer:
    """The frames that were asked for; raises ``InvalidRequest``."""
    wanted, tail = _wanted(call)
    content = (b"content-type", form.media.encode("ascii"))
    return StreamAnswer(_rendered(call, form, wanted, tail), 200, content)


def _wanted(call: Call) -> tuple[Selection, int | None]:
    """The frames that are wanted, and how many last lines of them.

    A browser that comes back asks again as at first, and says where it was.
    """
    query: OutputQuery = call.query
    tail = None if query.tail is UNSET else query.tail
    after = query.after
    if (seen := _last_event(call)) is not None:
        after, tail = seen, None
    elif tail is not None and after:
        raise InvalidRequest("tail and after cannot go together", field="tail")
    streams = BOTH if query.stream is UNSET else (Stream[query.stream.upper()],)
    since, until = (
        None if moment is UNSET else nanoseconds(moment) for moment in (query.since, query.until)
    )
    return Selection(after, since or 0, until, streams), tail


def _last_event(call: Call) -> int | None:
    text = header(call.headers, b"last-event-id")
    if not text:
        return None
    if not text.isdigit() or len(text) > _LONGEST_NUMBER:
        raise InvalidRequest("Last-Event-ID is not the id of an event", field="Last-Event-ID")
    return int(text)


async def _rendered(
    call: Call, form: Form, wanted: Selection, tail: int | None
) -> AsyncIterator[bytes]:
    follow: bool = call.query.follow
    if form.head:
        yield form.head
    jobs, job_id = call.jobs, call.job.id
    seq = wanted.after
    room = _BatchSize(call.stream)
    found = jobs.frames(job_id, wanted, tail=tail, follow=follow, idle=form.idle, room=room)
    async with aclosing(found) as batches:
        async for batch in batches:
            if batch:
                seq = batch[-1].seq
                rendered = b"".join([form.frame(frame.seq, view(frame)) for frame in batch])
                room.note(batch, rendered)
                yield rendered
            else:
                yield _COMMENT
    # Without follow it may have written more and ended since we began.
    job = jobs.glance(job_id) if follow else call.job
    if end := _end_view(job, seq):
        yield form.end(end.seq, end)


class _BatchSize:
    """The most bytes of the next batch, so that what comes of it is a chunk at most.

    As JSON a control character takes six times its byte: batches are so much smaller as the
    one before became larger.
    """

    def __init__(self, stream: AnswerStream) -> None:
        self._stream = stream
        self._growth = 1.0

    def __call__(self) -> int:
        return int(self._stream.chunk() / self._growth)

    def note(self, batch: list[Frame], rendered: bytes) -> None:
        """Takes note of what a batch has become."""
        size = sum(len(frame.data) + FRAME_COST for frame in batch)
        self._growth = max(1.0, len(rendered) / size)


def view(frame: Frame) -> OutputFrame | GapFrame:
    """``frame`` as clients see it; what is not UTF-8 as base64."""
    stream: Literal["stdout", "stderr"] = "stdout" if frame.stream is Stream.STDOUT else "stderr"
    time = from_nanoseconds(frame.time)
    if frame.dropped:
        return GapFrame(seq=frame.seq, time=time, stream=stream, dropped=frame.dropped)
    try:
        text = frame.data.decode("utf-8")
    except UnicodeDecodeError:
        text = base64.b64encode(frame.data).decode("ascii")
        return OutputFrame(seq=frame.seq, time=time, stream=stream, data=text, encoding="base64")
    return OutputFrame(seq=frame.seq, time=time, stream=stream, data=text)


def _end_view(job: Job, seq: int) -> EndFrame | None:
    """The frame that says how the job ended; None where it has not."""
    end = job.end
    if end is None:
        return None
    usage = end.usage
    return EndFrame(
        seq=max(seq, usage.stdout_bytes + usage.stderr_bytes + usage.dropped_bytes),
        time=end.finished_at,
        status=job.status.name,
        exit_code=job.exit_code,
        signal=end.signal,
        cause=end.cause,
        reason=job.reason,
    )
