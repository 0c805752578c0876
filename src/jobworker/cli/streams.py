"""A job's output on its way to this process's own descriptors, byte for byte."""

from __future__ import annotations

import os
import sys

from jobworker.cli import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobworker.client.frames import End, Frame, StreamName

DESCRIPTORS: dict[StreamName, int] = {"stdout": 1, "stderr": 2}


class Streams:
    """Both streams of one job, written as they come.

    On a terminal control characters are written so that none acts, unless ``raw``. With
    ``stamped`` each line begins with the time at which its first byte came. A gap is
    reported on standard error, in its place.
    """

    def __init__(self, *, raw: bool, stamped: bool = False) -> None:
        self._raw = raw
        self._stamped = stamped
        self._writers: dict[StreamName, _Writer] = {}
        self.seq = 0
        """The number of the last frame."""

    def write(self, frame: Frame) -> None:
        """Writes a frame."""
        self.seq = frame.seq
        if frame.dropped:
            report.message(f"jobctl: {frame.dropped} bytes of {frame.stream} were not kept")
        else:
            self.piece(frame.stream, frame.data, frame.time)

    def piece(self, stream: StreamName, data: bytes, time: str = "") -> None:
        """Writes bytes of a stream."""
        writer = self._writers.get(stream)
        if writer is None:
            sys.stdout.flush()
            descriptor = DESCRIPTORS[stream]
            safe = not self._raw and os.isatty(descriptor)
            writer = self._writers[stream] = _Writer(descriptor, safe=safe)
        writer.write(data, f"{time} ".encode("ascii") if self._stamped else b"")

    def copy(self, stream: StreamName, pieces: Iterable[bytes]) -> int:
        """Writes all pieces of a stream; returns how many bytes there were."""
        count = 0
        for piece in pieces:
            count += len(piece)
            self.piece(stream, piece)
        return count

    def close(self) -> None:
        """Writes the rest of a character that never came whole."""
        for writer in self._writers.values():
            writer.close()


class _Writer:
    """Writes one stream to one descriptor."""

    def __init__(self, descriptor: int, *, safe: bool) -> None:
        self._descriptor = descriptor
        self._at_line_start = True
        self._decode: Callable[..., str] | None = None
        if safe:
            import codecs

            self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def write(self, data: bytes, stamp: bytes) -> None:
        if self._decode is not None:
            data = _keep_lines(self._decode(data))
        if stamp and data:
            data = self._stamp(data, stamp)
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _stamp(self, data: bytes, stamp: bytes) -> bytes:
        whole = data.endswith(b"\n")
        stamped = data[: len(data) - whole].replace(b"\n", b"\n" + stamp)
        begun = stamp if self._at_line_start else b""
        self._at_line_start = whole
        return begun + stamped + b"\n" * whole

    def close(self) -> None:
        decode, self._decode = self._decode, None
        if decode is not None:
            self.write(_keep_lines(decode(b"", final=True)), b"")


def _keep_lines(text: str) -> bytes:
    return "\n".join(map(report.escaped, text.split("\n"))).encode("utf-8")


def as_json(frame: Frame | End) -> dict[str, object]:
    """A frame as the server sends it, with ``error`` null like every JSON answer."""
    fields: dict[str, object] = {"seq": frame.seq, "time": frame.time, "stream": frame.stream}
    fields["error"] = None
    if frame.stream == "end":
        names = {"exit_code": "exitCode"}
        rest = ("status", "exit_code", "signal", "cause", "reason")
        return fields | {"data": ""} | {names.get(n, n): getattr(frame, n) for n in rest}
    try:
        fields["data"] = frame.data.decode("utf-8")
    except UnicodeDecodeError:
        from binascii import b2a_base64

        fields["data"] = b2a_base64(frame.data, newline=False).decode("ascii")
        fields["encoding"] = "base64"
    if frame.dropped:
        fields["dropped"] = frame.dropped
    return fields
