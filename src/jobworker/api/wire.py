"""The parts of routes that no type describes: headers, and media types other than JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from jobworker.api.views import EndFrame, GapFrame, OutputFrame


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A header of a request or of an answer, and what it means; ``pattern`` is its form."""

    name: str
    description: str
    example: str
    kind: Literal["string", "integer"] = "string"
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """A form of a success that is not one JSON object.

    ``name`` is the media type, ``shapes`` are the types of the JSON in it, a line or an
    event each; none for bytes that only the job knows.
    """

    name: str
    description: str
    shapes: tuple[type[Struct], ...] = ()
    example: str | None = None


RANGE = HeaderField("Range", "one range of bytes; without `follow` only, as 206", "bytes=0-1023")
LAST_EVENT_ID = HeaderField(
    "Last-Event-ID",
    "the last `id:` that was seen: the stream goes on with the byte after it, like `after`",
    "12",
    pattern="^[0-9]{0,18}$",
)
IDEMPOTENCY_KEY = HeaderField(
    "Idempotency-Key",
    "a name for this start: sent again with the same body it answers with the same job",
    "nightly-2026-11-24",
    # Bare, or the quoted string of RFC 8941.
    pattern=r"""^([!#-~][!-~]{0,254}|"[!#-\[\]-~]{1,255}")$""",
)
RETRY_AFTER = HeaderField("Retry-After", "seconds after which to try again", "1", "integer")
WWW_AUTHENTICATE = HeaderField("WWW-Authenticate", "how to authenticate", "Bearer")
UPGRADE = HeaderField("Upgrade", "the protocol to ask for", "websocket")
CONNECTION = HeaderField("Connection", "what goes with `Upgrade`", "upgrade")
ACCEPT_RANGES = HeaderField("Accept-Ranges", "a `Range` is honoured", "bytes")
CONTENT_RANGE = HeaderField("Content-Range", "which bytes these are, of how many", "bytes 0-4/12")
CONTENT_DISPOSITION = HeaderField(
    "Content-Disposition",
    "the name of a file to save it as",
    'attachment; filename="j-8f14e45f-ceea-4e7a-9c3b-2f0a1d5b6c7d.stdout"',
)
CONTENT_SECURITY_POLICY = HeaderField(
    "Content-Security-Policy", "what a browser may load with it", "default-src 'none'"
)

FIELDS = {
    each.name.lower().encode("ascii"): each
    for each in (RETRY_AFTER, WWW_AUTHENTICATE, UPGRADE, CONNECTION)
}
"""The headers of error answers, by their names as they are sent."""

BYTES = Media("application/octet-stream", "exactly what the program wrote")
HTML = Media("text/html", "a page for people, without scripts")
OPENAPI = Media("application/json", "the OpenAPI document")
_FRAMES = (OutputFrame, GapFrame, EndFrame)
_FRAME = '{"seq":6,"time":"2026-11-24T12:00:00.123456Z","stream":"stdout","data":"hello\\n"}'
FRAMES_AS_LINES = Media("application/x-ndjson", "one frame a line", _FRAMES, example=f"{_FRAME}\n")
FRAMES_AS_EVENTS = Media(
    "text/event-stream",
    "one frame an event: `id:` is its `seq`, `data:` the frame; the end is an `event: end`, "
    "and comments keep the connection alive",
    _FRAMES,
    example=f"id: 6\ndata: {_FRAME}\n\n",
)
