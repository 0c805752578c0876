"""The calls of the API, one method each; answers are the server's JSON as dictionaries."""

from __future__ import annotations

import time
from binascii import b2a_base64
from urllib.parse import urlencode

from jobworker.client import profiles
from jobworker.client.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal, Self, Unpack

    from jobworker.client.answers import (
        CanStartAnswer,
        ExtendAnswer,
        IdAnswer,
        JobList,
        JobView,
        MeAnswer,
        OutputAnswer,
    )
    from jobworker.client.requests import CanStartOptions, StartOptions

    Argument = str | bytes | int | float
    StreamName = Literal["stdout", "stderr"]

FINAL = ("Completed", "Failed", "Stopped")

WAIT_AT_ONCE = 60.0
"""Seconds of one ``?wait=``: shorter than what routers allow an idle connection."""


class Finished:
    """A job that has ended, with all of its output."""

    __slots__ = ("job", "stderr", "stdout")

    def __init__(self, job: JobView, stdout: bytes, stderr: bytes) -> None:
        self.job = job
        self.stdout = stdout
        self.stderr = stderr

    @property
    def exit_code(self) -> int | None:
        """The program's own exit code; None where it has none."""
        return self.job["exitCode"]


class Client:
    """One user on one server. Not for several threads at once: make a client for each.

    Every call raises the class of ``errors.py`` that the server answered with, or
    ``ServerUnreachable``.
    """

    def __init__(self, profile: profiles.Profile) -> None:
        self.profile = profile
        self._connection = Connection(profile)

    @classmethod
    def from_profile(cls, name: str | None = None) -> Client:
        """A client for a stored profile (see ``profiles.load``); connects on first use."""
        return cls(profiles.load(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def start(self, program: str, *args: Argument, **options: Unpack[StartOptions]) -> IdAnswer:
        """Start ``program`` (an absolute path) and answer with the job's ID.

        ``options`` are the other fields of the request, by their names on the wire:
        ``timeout=600, limits={"memory": 2**26, "openFiles": 64}``. Bytes, and text with
        surrogate escapes, reach the program as they are. A job for which there is no room
        yet is ``Queued``, and starts by itself.
        """
        body = {**_command(program, args), **options}
        answer: IdAnswer = self._connection.call("POST", "/jobs/start", body)
        return answer

    def can_start(
        self, program: str, *args: Argument, **options: Unpack[CanStartOptions]
    ) -> CanStartAnswer:
        """Whether the policy would let ``start`` do the same, and by which rule."""
        body = {**_command(program, args), **options}
        answer: CanStartAnswer = self._connection.call("POST", "/policy/can-start", body)
        return answer

    def stop(self, job_id: str, *, grace: float = 0.0) -> IdAnswer:
        """Stop a job; comes back once no process of it is left.

        With a ``grace`` (seconds) it gets SIGTERM first, and SIGKILL after that time.
        """
        body = {"grace": grace} if grace else None
        answer: IdAnswer = self._connection.call("POST", f"/jobs/{job_id}/stop", body, takes=grace)
        return answer

    def extend(self, job_id: str, seconds: float) -> ExtendAnswer:
        """Let a running job that has a deadline run ``seconds`` longer."""
        path = f"/jobs/{job_id}/extend"
        answer: ExtendAnswer = self._connection.call("POST", path, {"seconds": seconds})
        return answer

    def status(self, job_id: str) -> JobView:
        """What is known of a job."""
        answer: JobView = self._connection.call("GET", f"/jobs/{job_id}")
        return answer

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Wait until a job has ended, or for ``timeout`` seconds; then its status."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_AT_ONCE if deadline is None else deadline - time.monotonic()
            seconds = max(0.0, min(left, WAIT_AT_ONCE))
            path = f"/jobs/{job_id}?wait={seconds:.3f}"
            job: JobView = self._connection.call("GET", path, takes=seconds)
            if job["status"] in FINAL or (deadline is not None and time.monotonic() >= deadline):
                return job

    def list(self, query: Sequence[tuple[str, str]] = ()) -> JobList:
        """One page of jobs, newest first; ``query`` as in ``GET /jobs``."""
        path = f"/jobs?{urlencode(query)}" if query else "/jobs"
        answer: JobList = self._connection.call("GET", path)
        return answer

    def remove(self, job_id: str) -> IdAnswer:
        """Forget a job that has ended, and its output."""
        answer: IdAnswer = self._connection.call("DELETE", f"/jobs/{job_id}")
        return answer

    def whoami(self) -> MeAnswer:
        """Who the profile's token belongs to."""
        answer: MeAnswer = self._connection.call("GET", "/me")
        return answer

    def output(self, job_id: str) -> OutputAnswer:
        """Both streams by lines, as far as they have come."""
        answer: OutputAnswer = self._connection.call("GET", f"/jobs/{job_id}/output")
        return answer

    def raw(self, job_id: str, stream: StreamName) -> Iterator[bytes]:
        """The exact bytes of one stream, as far as they have come, in pieces."""
        return self._connection.stream(f"/jobs/{job_id}/output/{stream}")

    def follow(self, job_id: str, stream: StreamName) -> Iterator[bytes]:
        """The exact bytes of one stream from the first on, until the job has ended."""
        path = f"/jobs/{job_id}/output/{stream}?follow=true"
        return self._connection.stream(path, follow=True)

    def run(self, program: str, *args: Argument, **options: Unpack[StartOptions]) -> Finished:
        """Start a program, wait for its end and return its output; see ``start``."""
        job = self.wait(self.start(program, *args, **options)["id"])
        return Finished(
            job, b"".join(self.raw(job["id"], "stdout")), b"".join(self.raw(job["id"], "stderr"))
        )


def _command(program: str, args: tuple[Argument, ...]) -> dict[str, Any]:
    return {"program": program, "args": [_argument(value) for value in args]}


def _argument(value: Argument) -> str | int | float | Mapping[str, str]:
    """An argument as JSON can carry it; what is not UTF-8 goes as base64."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return {"base64": b2a_base64(value, newline=False).decode("ascii")}
    return value
