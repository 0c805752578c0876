"""A job's output as frames: what they are, and how they are read. Pure."""

from __future__ import annotations

import json
from binascii import a2b_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar, Literal

    from jobworker.client.answers import EndFrame, GapFrame, OutputFrame

    StreamName = Literal["stdout", "stderr"]


class _Record:
    """Compares and shows itself by its fields."""

    __slots__: tuple[str, ...] = ()

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return tuple((name, getattr(self, name)) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._fields())
        return f"{type(self).__name__}({fields})"


class Frame(_Record):
    """Bytes that a job wrote to one stream at one time.

    ``seq`` is how many bytes both streams held with these: ``follow(job, after=seq)``
    goes on behind them. ``time`` is RFC 3339 in UTC. ``dropped`` is how many bytes were
    written here and not kept; then ``data`` is empty.
    """

    __slots__ = ("data", "dropped", "seq", "stream", "time")

    def __init__(
        self, seq: int, time: str, stream: StreamName, data: bytes, dropped: int = 0
    ) -> None:
        self.seq = seq
        self.time = time
        self.stream = stream
        self.data = data
        self.dropped = dropped


class End(_Record):
    """The job's end, after its last output; the fields as in ``JobView``."""

    __slots__ = ("cause", "exit_code", "reason", "seq", "signal", "status", "time")

    stream: ClassVar[Literal["end"]] = "end"
    data: ClassVar[bytes] = b""
    dropped: ClassVar[int] = 0

    def __init__(
        self,
        seq: int,
        time: str,
        *,
        status: str,
        exit_code: int | None = None,
        signal: str | None = None,
        cause: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.seq = seq
        self.time = time
        self.status = status
        self.exit_code = exit_code
        self.signal = signal
        self.cause = cause
        self.reason = reason


class Decoder:
    """Frames from the pieces of one answer, cut wherever the network cut them."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Frame | End]:
        """The frames whose lines end in ``piece``; raises ``ValueError`` for one that is none."""
        first, *others = piece.split(b"\n")
        self._begun.append(first)
        for begun in others:
            line = b"".join(self._begun)
            self._begun = [begun]
            if line.strip():  # an empty line keeps the connection alive
                yield decode(line)


def decode(line: bytes) -> Frame | End:
    """One frame from one line of NDJSON; raises ``ValueError`` where it is none."""
    try:
        fields: Any = json.loads(line)
        return _end(fields) if fields["stream"] == "end" else _frame(fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{line[:80]!r} is no frame of output") from None


def _frame(fields: OutputFrame | GapFrame) -> Frame:
    seq, time, stream = int(fields["seq"]), fields["time"], fields["stream"]
    if "dropped" in fields:
        return Frame(seq, time, stream, b"", int(fields["dropped"]))
    return Frame(seq, time, stream, _bytes(fields["data"], fields.get("encoding")))


def _bytes(data: str, encoding: str | None) -> bytes:
    if encoding is None:
        return data.encode("utf-8")
    if encoding == "base64":
        return a2b_base64(data, strict_mode=True)
    raise ValueError(f"the encoding {encoding!r} is not known")


def _end(fields: EndFrame) -> End:
    return End(
        int(fields["seq"]),
        fields["time"],
        status=fields["status"],
        exit_code=fields["exitCode"],
        signal=fields["signal"],
        cause=fields["cause"],
        reason=fields["reason"],
    )
