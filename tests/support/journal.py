"""A job's output as the server sends it in frames, cut like nothing in particular."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TIME = "2026-11-24T12:00:00.123456Z"
END = {
    "stream": "end",
    "data": "",
    "status": "Failed",
    "exitCode": 3,
    "signal": None,
    "cause": "exited",
    "reason": "exited with code 3",
}


@dataclass
class Journal:
    """What was written, in order; ``width`` is the most bytes of a frame."""

    pieces: list[tuple[str, bytes]]
    width: int = 7
    ended: bool = True

    def of(self, stream: str) -> bytes:
        """All that was written to one stream."""
        return b"".join(data for name, data in self.pieces if name == stream)

    def body(self, after: int = 0) -> bytes:
        """The answer to a request for what comes behind ``after``."""
        lines = [json.dumps(frame).encode() + b"\n" for frame in self._frames(after)]
        return b"".join(lines)

    def _frames(self, after: int) -> Iterator[dict[str, Any]]:
        seq = 0
        for stream, data in self.pieces:
            fresh = data[max(0, after - seq) :]
            seq += len(data)
            begin = seq - len(fresh)
            for at in range(0, len(fresh), self.width):
                part = fresh[at : at + self.width]
                frame = {"seq": begin + at + len(part), "time": TIME, "stream": stream}
                yield frame | encoded(part)
        if self.ended:
            yield {"seq": seq, "time": TIME, **END}


def encoded(data: bytes) -> dict[str, str]:
    """Bytes as JSON can carry them."""
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data": base64.b64encode(data).decode("ascii"), "encoding": "base64"}
