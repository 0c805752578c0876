"""A request and its answer, without the connection that carries them."""

from __future__ import annotations

import json

from jobworker.client import failures
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class Exchange(Protocol):
        """An answer that has begun. Exactly one reader; ``close`` it in any case."""

        @property
        def status(self) -> int:
            """The HTTP status."""
            ...

        @property
        def reason(self) -> str:
            """The text beside it."""
            ...

        def header(self, name: str) -> str | None:
            """The value of a header of the answer."""
            ...

        async def piece(self) -> bytes:
            """The next bytes of the body, as they come; empty at its end.

            Raises ``ConnectionLost`` where the body breaks off.
            """
            ...

        async def close(self) -> None:
            """Releases the connection: whole answers leave it usable, others end it."""
            ...

    class Transport(Protocol):
        """The way of requests to one server: blocking, or on an event loop."""

        async def send(self, request: Request) -> Exchange:
            """Sends ``request``, and returns once the head of the answer is there.

            Raises ``ServerUnreachable``: ``ConnectionLost`` once any of it was sent.
            """
            ...

        async def pause(self, seconds: float) -> None:
            """Lets time go by."""
            ...

        async def close(self) -> None:
            """Ends the connections that nobody uses."""
            ...


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""The bytes that mean themselves in every part of a URL (RFC 3986, 2.3)."""


class Request:
    """A request to the server.

    ``takes`` is how many seconds the server may rightly need before it answers, and
    between two pieces of an answer; None: as long as it likes. ``repeatable`` says
    whether it may be sent again where nobody knows if it was carried out.
    """

    __slots__ = ("body", "headers", "method", "repeatable", "takes", "target")

    def __init__(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        takes: float | None = 0.0,
        repeatable: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = dict(headers or {})
        self.body = None
        if body is not None:
            self.headers["Content-Type"] = "application/json"
            self.body = json.dumps(body).encode("ascii")
        self.takes = takes
        self.repeatable = repeatable

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.target!r})"

    def silence(self, answer: float) -> float | None:
        """Seconds without a byte after which the server counts as gone."""
        return None if self.takes is None else answer + self.takes


def path_of(job_id: str, *parts: str) -> str:
    """The path of a job, or below it; what is no ID stays one part, which is not found."""
    return "/".join(("/jobs", _quoted(job_id), *parts))


def _quoted(text: str) -> str:
    """``text`` as one part of a path, as ``urllib.parse.quote`` has it, which is dear to load."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


async def read(exchange: Exchange, server: str) -> Any:
    """The JSON of the answer; raises the class of ``errors.py`` that it stands for."""
    return decode(exchange, await read_bytes(exchange), server)


async def read_bytes(exchange: Exchange) -> bytes:
    """The whole body of the answer; raises ``ConnectionLost`` where it breaks off."""
    pieces = []
    try:
        while piece := await exchange.piece():
            pieces.append(piece)
    finally:
        await exchange.close()
    return b"".join(pieces)


def decode(exchange: Exchange, body: bytes, server: str) -> Any:
    """The JSON in ``body``, the whole of an answer; raises what it stands for."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    failed = not is_success(exchange)
    if not isinstance(answer, dict) or (failed and "code" not in answer):
        raise not_jobd(server, f"{exchange.status} {exchange.reason}")
    if failed:
        raise failures.from_answer(answer, exchange.header("Retry-After"))
    return answer


def is_success(exchange: Exchange) -> bool:
    """Whether the answer is what was asked for; a redirection is not, nobody is sent on."""
    return 200 <= exchange.status < 300


def not_jobd(server: str, what: str) -> JobWorkerError:
    """The failure to understand what ``server`` answered."""
    return JobWorkerError(
        f"{server} answered {what}, but not as jobd does",
        hint="check the address of the profile; a proxy may be in between",
    )
