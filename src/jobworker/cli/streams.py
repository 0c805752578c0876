"""A job's output on its way to this process's own descriptors, byte for byte."""

from __future__ import annotations

import os
import threading

from jobworker.cli.report import escaped
from jobworker.client.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobworker.client.frames import StreamName
    from jobworker.client.profiles import Profile

DESCRIPTORS: dict[StreamName, int] = {"stdout": 1, "stderr": 2}


def copy(pieces: Iterable[bytes], stream: StreamName, *, raw: bool) -> int:
    """Write ``pieces`` to the descriptor of ``stream`` as they come; returns how many bytes came.

    On a terminal control characters are written so that none acts, unless ``raw``.
    """
    descriptor = DESCRIPTORS[stream]
    counted = _Counted(pieces)
    shown = counted if raw or not os.isatty(descriptor) else _made_safe(counted)
    for piece in shown:
        left = memoryview(piece)
        while left:
            left = left[os.write(descriptor, left) :]
    return counted.bytes


class _Counted:
    """Pieces, and how many bytes of them have come."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.bytes += len(piece)
            yield piece


def _made_safe(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import codecs

    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    for piece in pieces:
        yield _keep_lines(decode(piece))
    yield _keep_lines(decode(b"", final=True))


def _keep_lines(text: str) -> bytes:
    return "\n".join(map(escaped, text.split("\n"))).encode("utf-8")


def follow(
    profile: Profile, job_id: str, streams: tuple[StreamName, ...], *, raw: bool = True
) -> dict[StreamName, int]:
    """Copy ``streams`` from their first byte until the job has ended.

    Returns how many bytes of each have come. Each has a connection of its own, and all but
    the first a thread, so that none waits for another.
    """
    first, *others = streams
    followers = [_Follower(profile, job_id, stream, raw=raw) for stream in others]
    for follower in followers:
        follower.start()
    arrived = {first: _follow_one(profile, job_id, first, raw=raw)}
    for stream, follower in zip(others, followers, strict=True):
        arrived[stream] = follower.finish()
    return arrived


def _follow_one(profile: Profile, job_id: str, stream: StreamName, *, raw: bool) -> int:
    with Client(profile) as client:
        return copy(client.raw(job_id, stream, follow=True), stream, raw=raw)


class _Follower(threading.Thread):
    """Follows one stream; what went wrong is raised where the thread is waited for."""

    def __init__(self, profile: Profile, job_id: str, stream: StreamName, *, raw: bool) -> None:
        # A daemon: after Ctrl-C nobody waits for a stream that may last for hours.
        super().__init__(name=f"follow {stream}", daemon=True)
        self._what = (profile, job_id, stream)
        self._raw = raw
        self._error: Exception | None = None
        self._arrived = 0

    def run(self) -> None:
        try:
            self._arrived = _follow_one(*self._what, raw=self._raw)
        except Exception as error:  # noqa: BLE001  raised again by finish
            self._error = error

    def finish(self) -> int:
        """Wait for the end of the stream; returns its bytes, raises what the thread met."""
        self.join()
        if self._error:
            raise self._error
        return self._arrived
