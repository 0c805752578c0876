"""The calls of the API, one method each, written once for both clients.

``AsyncClient`` has these methods as they are. ``Client`` runs them to their end on a
transport that blocks, so that none of them ever waits for an event loop.
"""

from __future__ import annotations

import os
import time
from binascii import b2a_base64

from jobworker.client.exchange import Request, path_of, read_bytes
from jobworker.client.session import RETRYABLE
from jobworker.errors import InvalidRequest, JobNotFound, JobNotRunning, TooManyRequests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from typing import Any, Unpack, overload

    from jobworker.client.answers import (
        CanStartAnswer,
        ExtendAnswer,
        IdAnswer,
        JobList,
        JobView,
        MeAnswer,
        OutputAnswer,
        SignalAnswer,
        StartedJob,
    )
    from jobworker.client.finished import Finished
    from jobworker.client.frames import End, Frame, StreamName
    from jobworker.client.requests import CanStartOptions, ListFilters, StartOptions, Window
    from jobworker.client.session import Session

    Argument = str | bytes | int | float

FINAL = ("Completed", "Failed", "Stopped")

WAIT_AT_ONCE = 60.0
"""Seconds of one ``?wait=``: shorter than what routers allow an idle connection."""


class Calls:
    """The calls that one user may make to one server.

    Every call raises the class of ``errors.py`` that the server answered with, or
    ``ServerUnreachable``. A request that is lost is sent again (see ``RetryPolicy``) where
    that cannot do a thing twice: everything but ``signal`` and ``extend``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    if TYPE_CHECKING:

        @overload
        async def start(
            self,
            program: str,
            *args: Argument,
            stdin: str | bytes | None = None,
            idempotency_key: str | None = None,
            wait: None = None,
            **options: Unpack[StartOptions],
        ) -> IdAnswer: ...

        @overload
        async def start(
            self,
            program: str,
            *args: Argument,
            stdin: str | bytes | None = None,
            idempotency_key: str | None = None,
            wait: float,
            **options: Unpack[StartOptions],
        ) -> StartedJob: ...

    async def start(
        self,
        program: str,
        *args: Argument,
        stdin: str | bytes | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
        **options: Unpack[StartOptions],
    ) -> IdAnswer | StartedJob:
        """Starts ``program`` (an absolute path) and returns the job's ID.

        With a ``wait`` it returns the whole job, as ``status`` does: once it has ended, or as
        it is after so many seconds. A job that ends soon then takes one request.

        ``options`` are the other fields of the request, by their names on the wire:
        ``timeout=600, limits={"memory": 2**26, "openFiles": 64}``. Bytes, and text with
        surrogate escapes, reach the program as they are. A job for which there is no room
        yet is ``Queued``, and starts by itself.

        However often the request has to be sent, it starts one job: each call has its own key.
        With an ``idempotency_key`` of yours the same holds over several calls.
        """
        body: dict[str, Any] = {**_command(program, args), **options}
        if stdin is not None:
            body["stdin"] = _argument(stdin)
        if wait is not None:
            return await self._start_and_wait(body, idempotency_key, wait)
        answer: IdAnswer = await self._start("/jobs/start", body, idempotency_key)
        return answer

    async def rerun(self, job_id: str, *, idempotency_key: str | None = None) -> IdAnswer:
        """Starts a job again as it was started, and returns the new job's ID."""
        answer: IdAnswer = await self._start(path_of(job_id, "rerun"), None, idempotency_key)
        return answer

    async def can_start(
        self, program: str, *args: Argument, **options: Unpack[CanStartOptions]
    ) -> CanStartAnswer:
        """Whether the policy would allow such a start, and by which rule."""
        body = {**_command(program, args), **options}
        answer: CanStartAnswer = await self._session.ask(Request("POST", "/policy/can-start", body))
        return answer

    async def stop(self, job_id: str, *, grace: float = 0.0) -> IdAnswer:
        """Stops a job; returns once no process of it is left.

        With a ``grace`` (seconds) it gets SIGTERM first, and SIGKILL after that time. Raises
        ``JobNotRunning`` where it had ended by itself.
        """
        body = {"grace": grace} if grace else None
        request = Request("POST", path_of(job_id, "stop"), body, takes=grace)
        outage = self._session.retry_state(self._session.retry_policy.calls)
        try:
            answer: IdAnswer = await self._session.ask(request, outage)
        except JobNotRunning:
            # After a lost answer the job may have ended by this very stop.
            if outage.unsure and (await self.status(job_id))["status"] == "Stopped":
                return {"id": job_id, "error": None}
            raise
        return answer

    async def signal(self, job_id: str, name: str | int) -> SignalAnswer:
        """Sends a signal, such as ``HUP``, to the program of a running job."""
        path, body = path_of(job_id, "signal"), {"signal": name}
        request = Request("POST", path, body, repeatable=False)
        answer: SignalAnswer = await self._session.ask(request)
        return answer

    async def extend(self, job_id: str, seconds: float) -> ExtendAnswer:
        """Lets a running job that has a deadline run ``seconds`` longer."""
        path, body = path_of(job_id, "extend"), {"seconds": seconds}
        answer: ExtendAnswer = await self._session.ask(
            Request("POST", path, body, repeatable=False)
        )
        return answer

    async def status(self, job_id: str) -> JobView:
        """The job as it is now."""
        answer: JobView = await self._session.ask(Request("GET", path_of(job_id)))
        return answer

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Waits until a job has ended, or for ``timeout`` seconds; returns the job as it is then.

        A server that is restarted meanwhile is waited for too; with a ``timeout``, no
        longer than that, or than a plain call would.
        """
        session = self._session
        outage = session.retry_state(self._patience(timeout))
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_AT_ONCE if deadline is None else deadline - time.monotonic()
            seconds = max(0.0, min(left, WAIT_AT_ONCE))
            request = Request("GET", f"{path_of(job_id)}?wait={seconds:.3f}", takes=seconds)
            pause = 0.0
            try:
                job: JobView = await session.ask_once(request)
            except TooManyRequests as error:  # no place to wait in: look now and then
                job = await self.status(job_id)
                pause = min(error.retry_after or 1.0, seconds)
            except RETRYABLE as error:
                await session.wait_or_raise(error, outage, request)
                continue
            outage.over()
            if job["status"] in FINAL or (deadline is not None and time.monotonic() >= deadline):
                return job
            if pause:
                await session.transport.pause(pause)

    async def list(
        self, query: Sequence[tuple[str, str]] = (), **filters: Unpack[ListFilters]
    ) -> JobList:
        """One page of jobs, newest first.

        ``filters`` are those of ``GET /jobs``; ``query`` is the same as pairs of text. The
        page after this one is that of ``cursor=page["next"]``, as long as there is one.
        """
        from urllib.parse import urlencode  # what asks by ID needs none

        pairs = [*query, *_pairs(filters)]
        path = f"/jobs?{urlencode(pairs)}" if pairs else "/jobs"
        answer: JobList = await self._session.ask(Request("GET", path))
        return answer

    async def remove(self, job_id: str) -> IdAnswer:
        """Deletes a job that has ended, and its output."""
        outage = self._session.retry_state(self._session.retry_policy.calls)
        try:
            answer: IdAnswer = await self._session.ask(Request("DELETE", path_of(job_id)), outage)
        except JobNotFound:
            if outage.unsure:  # after a lost answer: it is gone, as was asked
                return {"id": job_id, "error": None}
            raise
        return answer

    async def whoami(self) -> MeAnswer:
        """The user that the profile's token belongs to."""
        answer: MeAnswer = await self._session.ask(Request("GET", "/me"))
        return answer

    async def output(self, job_id: str) -> OutputAnswer:
        """Both streams by lines, as far as they have come."""
        answer: OutputAnswer = await self._session.ask(Request("GET", path_of(job_id, "output")))
        return answer

    async def raw(
        self, job_id: str, stream: StreamName, *, first: int = 0, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The exact bytes of one stream, as far as they have come, in pieces.

        ``first`` skips as many of the bytes that are kept. With ``follow`` it goes on until
        the job has ended, and ``first`` counts the bytes that were written, kept or not.
        Once bytes have come, a connection that breaks is an error, but not for ``follow()``.
        """
        request = _raw_request(job_id, stream, first, follow=follow)
        outage = self._session.retry_state(self._session.retry_policy.calls)
        while True:
            begun = False
            try:
                answer = await self._session.open(request)
                try:
                    while piece := await answer.piece():
                        begun = True
                        yield piece
                finally:
                    await answer.close()
            except RETRYABLE as error:
                if begun:
                    raise
                await self._session.wait_or_raise(error, outage, request)
            else:
                return

    def follow(self, job_id: str, **window: Unpack[Window]) -> AsyncGenerator[Frame | End, None]:
        """The output of a job as it writes it, in order, both streams; an ``End`` comes last.

        From the first byte on, or by ``window``: behind the frame whose ``seq`` is
        ``after``; from the moment ``since``; the last ``tail`` lines; one of the
        ``streams``. ``until`` ends it at a moment, without an ``End`` where the job goes on.

        After a connection that breaks or a server that is restarted it goes on
        (``RetryPolicy.outage``): no byte is lost, none comes twice.
        """
        from jobworker.client import following

        return following.frames(self._session, following.Wanted(job_id, window, live=True))

    def frames(self, job_id: str, **window: Unpack[Window]) -> AsyncGenerator[Frame | End, None]:
        """The output so far, as ``follow`` has it; with an ``End`` only if the job has ended.

        ``window`` chooses a part as for ``follow``.
        """
        from jobworker.client import following

        return following.frames(self._session, following.Wanted(job_id, window, live=False))

    async def run(
        self,
        program: str,
        *args: Argument,
        check: bool = False,
        stdin: str | bytes | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Finished:
        """Starts a program, waits for its end and returns its output; see ``start``.

        With ``check``, raises ``JobFailed`` where the job did not complete. A call that
        is interrupted leaves the job running.
        """
        from jobworker.client.finished import Finished

        started = await self.start(
            program, *args, stdin=stdin, idempotency_key=idempotency_key, **options
        )
        job = await self.wait(started["id"])
        stdout, stderr = (
            await self._whole(job["id"], "stdout"),
            await self._whole(job["id"], "stderr"),
        )
        finished = Finished(job, stdout, stderr)
        return finished.check() if check else finished

    async def _start(self, path: str, body: dict[str, Any] | None, key: str | None) -> Any:
        """Sends a request that starts a job, under one key, so that it may be sent again."""
        return await self._session.ask(Request("POST", path, body, headers=_key_header(key)))

    async def _start_and_wait(
        self, body: dict[str, Any], key: str | None, wait: float
    ) -> StartedJob:
        """Sends a start that is answered at the job's end, and waits on where that is later.

        A server that is restarted meanwhile is waited for as ``wait`` does.
        """
        session, headers, deadline = self._session, _key_header(key), time.monotonic() + wait
        seconds = max(0.0, min(wait, WAIT_AT_ONCE))
        path = f"/jobs/start?wait={seconds:.3f}"
        request = Request("POST", path, body, headers=headers, takes=seconds)
        outage = session.retry_state(self._patience(wait))
        while True:
            try:
                started: Any = await session.ask_once(request)
                break
            except TooManyRequests:  # no place to wait in: it was not started
                if not request.takes:
                    raise
                request = Request("POST", "/jobs/start", body, headers=headers)
            except RETRYABLE as error:
                await session.wait_or_raise(error, outage, request)
        if started.get("status") not in FINAL:
            left = max(0.0, deadline - time.monotonic())
            started |= await self.wait(started["id"], left)
        job: StartedJob = started
        return job

    def _patience(self, wait: float | None) -> float:
        """Seconds to bear a server that is away for, in a call that waits for a job's end."""
        retry_policy = self._session.retry_policy
        bears = retry_policy.outage if wait is None else max(wait, retry_policy.calls)
        return min(bears, retry_policy.outage)

    async def _whole(self, job_id: str, stream: StreamName) -> bytes:
        """All bytes of a stream of a job that has ended, over as many attempts as it takes."""
        request = _raw_request(job_id, stream, 0, follow=False)
        outage = self._session.retry_state(self._session.retry_policy.outage)
        while True:
            try:
                return await read_bytes(await self._session.open(request))
            except RETRYABLE as error:
                await self._session.wait_or_raise(error, outage, request)


def _raw_request(job_id: str, stream: StreamName, first: int, *, follow: bool) -> Request:
    path = path_of(job_id, "output", stream)
    if follow:
        # A job may be silent for hours.
        offset = f"&offset={first}" if first else ""
        return Request("GET", f"{path}?follow=true{offset}", takes=None)
    headers = {"Range": f"bytes={first}-"} if first else None
    return Request("GET", path, headers=headers)


def _key_header(key: str | None) -> dict[str, str]:
    """The header with ``key``, or with a new one."""
    return {"Idempotency-Key": os.urandom(16).hex() if key is None else _checked_key(key)}


def _checked_key(key: str) -> str:
    """``key`` as a header may carry it; raises ``InvalidRequest``."""
    if not key or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"{key[:80]!r} is no idempotency key: it takes printable ASCII",
            field="Idempotency-Key",
        )
    return key


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


def _pairs(filters: ListFilters) -> Sequence[tuple[str, str]]:
    """``filters`` as the query has them: a label each for itself."""
    found = []
    for name, value in filters.items():
        if isinstance(value, dict):
            found += [(name, f"{key}={text}") for key, text in value.items()]
        elif value is not None:
            found.append((name, str(value)))
    return found
