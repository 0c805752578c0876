"""The one choke point: every request passes here, in this order.

Who is it? Which job? May they? Is what they sent in order? Only then the handler. So
nobody learns from an answer what they may not know: without a token even an unknown
path is 401, and another user's job is 403 whatever the rest of the request says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from msgspec import Struct

from jobworker.api.answers import StreamAnswer, encode, json_answer
from jobworker.api.asgi import Receive, Scope, Send
from jobworker.api.callers import Caller, Callers, Client
from jobworker.api.decode import (
    bearer_token,
    decode_body,
    decode_query,
    header,
    read_body,
)
from jobworker.api.errors import STATUS, error_answer
from jobworker.api.failed_tokens import FailedTokens
from jobworker.api.lasting import Place, Shares
from jobworker.api.memory import SMALL, AnswerStream, Share
from jobworker.api.resources.input import SocketAnswer
from jobworker.api.route import Answer, Route, Router
from jobworker.api.service import (
    Call,
    ClientGone,
    Service,
    StreamBroken,
    hold,
)
from jobworker.api.shortage import blame
from jobworker.errors import (
    BadAuthentication,
    InvalidRequest,
    JobNotFound,
    JobWorkerError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    UnauthorizedAction,
    UpgradeRequired,
)
from jobworker.identity import permissions
from jobworker.identity.tokens import redact
from jobworker.identity.users import User
from jobworker.model import Job, JobId

_log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""Status in the log for a request whose client left before the answer."""


IN_PASSING = 1024 * 1024
"""Most bytes of a body that are decoded on the event loop; more would hold up the others."""

_CUT = ServiceUnavailable(
    "the server stopped before the request was done",
    hint="look whether it took effect before you send it again",
)


class Dispatcher:
    """The API as an ASGI application."""

    def __init__(self, service: Service, routes: Iterable[Route]) -> None:
        self.service = service
        self.callers = Callers()
        self._failed_tokens = FailedTokens()
        self._router = Router(routes)
        self._in_hand: set[asyncio.Task[Any]] = set()
        self._sockets: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        state = "draining" if self.service.interruptions.stopping else "serving"
        in_hand, sockets = len(self._in_hand), len(self._sockets)
        return f"<Dispatcher {state}: {in_hand} requests in hand, {sockets} of them WebSockets>"

    def drain(self) -> None:
        """Ends long polls and streams, now and from now on: the server is to stop."""
        self.service.interruptions.stop()
        self.service.heap.close()

    async def until_sockets_end(self, budget: float) -> None:
        """Returns once the clients of all WebSockets have been told; only after ``drain``.

        A client that has not been told within ``budget`` seconds is cut off.
        """
        if self._sockets:
            await asyncio.wait(self._sockets, timeout=budget)

    async def until_answered(self, budget: float) -> None:
        """Returns once the requests in hand are answered, later ones not, or after ``budget`` s."""
        if self._in_hand:
            await asyncio.wait(set(self._in_hand), timeout=budget)

    def cut(self) -> None:
        """Ends every request in hand with a 503; only after ``drain``."""
        assert self.service.interruptions.stopping
        for task in self._in_hand:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, and logs it.

        Raises ``StreamBroken`` for an answer that was begun and cannot be completed:
        the server then cuts the connection, and the client sees that something is missing.
        """
        request = _Request(scope, receive, self.service.streams.one())
        task = asyncio.current_task()
        assert task is not None
        self._in_hand.add(task)
        try:
            answer = await self._answer(request)
            request.status = answer.status
            if isinstance(answer, SocketAnswer):
                self._sockets.add(task)
                await answer.serve(receive, send)
            elif isinstance(answer, StreamAnswer):
                request.large = True
                await self._stream(answer, request, send)
            else:
                await answer.send(send, "websocket." if request.is_socket else "")
        except ClientGone:
            request.status = CLIENT_GONE
        finally:
            self._in_hand.discard(task)
            self._sockets.discard(task)
            request.close()
            if request.large:
                self.service.heap.let_go()
            _log_request(request)

    async def _answer(self, request: _Request) -> Answer:
        """The answer to a request, whatever it is; raises ``ClientGone`` only."""
        try:
            _refuse_ambiguous_length(request.headers)
            route = self._admit(request)
            return await self._handle(route, request)
        except MethodNotAllowed as error:
            methods, _ = self._router.find(request.path)
            return error_answer(error, (b"allow", ", ".join(methods).encode("ascii")))
        except JobWorkerError as error:
            if isinstance(error, BadAuthentication):
                await self._slow_down(request)
            if type(error) not in STATUS:
                _log.exception("no status for this error: this is a bug")
            return error_answer(error)
        except ClientGone:
            raise
        except asyncio.CancelledError:
            # The time for requests in hand is over. This is the whole task, so nobody waits
            # for the cancellation, and a client is better told than cut off.
            if not self.service.interruptions.stopping:
                raise
            return error_answer(_CUT)
        except Exception as error:  # noqa: BLE001  # the last resort: logged, and no detail goes out
            if known := blame(error):
                _log.warning("cannot answer a request for now: %s", error)
                return error_answer(known)
            _log.exception("cannot answer a request: this is a bug")
            return error_answer(JobWorkerError())

    async def _stream(self, answer: StreamAnswer, request: _Request, send: Send) -> None:
        """Sends a stream; raises ``ClientGone``, or ``StreamBroken`` where it ends too early."""
        try:
            with request.stream:
                sending = answer.send(send, request.stream.note)
                await hold(sending, request.receive, self.service, request.token)
        except (ClientGone, StreamBroken):
            raise
        except TimeoutError:
            raise StreamBroken("the client does not take its answer") from None
        except JobWorkerError as error:
            raise StreamBroken(str(error)) from None
        except Exception as error:  # noqa: BLE001  # the same
            if known := blame(error):
                raise StreamBroken(str(known)) from None
            _log.exception("cannot go on with a stream: this is a bug")
            raise StreamBroken("internal error") from None

    def _admit(self, request: _Request) -> Route:
        """Finds the route, the caller and the job, and checks that they go together."""
        methods, job_id = self._router.find(request.path)
        route = methods.get(request.method)
        if route is not None and route.public:
            return route
        # What is public with every method that it has is no secret with another one.
        if not methods or not all(each.public for each in methods.values()):
            request.token = bearer_token(request.headers)
            request.user = self.service.accounts.authenticate(request.token)
            if not request.by_socket:
                request.caller = self.callers.enter(request.client, request.user.name)
        if not methods:
            raise NotFound("no such path in this API", hint="see /openapi.json")
        if route is None:
            raise MethodNotAllowed(f"{request.path[:80]} has no method {request.method[:20]}")
        if route.about_job:
            request.job = self._load(job_id)
        owner = request.job.owner if request.job else None
        if not permissions.allowed(request.user, route.action, owner):
            raise UnauthorizedAction
        if route.is_socket and not request.is_socket:
            raise UpgradeRequired
        return route

    async def _slow_down(self, request: _Request) -> None:
        """Returns when the refusal of a token may go out."""
        if request.by_socket:
            return
        pause = self._failed_tokens.pause(request.client[0])
        request.slowed = pause > 0
        if pause:
            await asyncio.sleep(pause)

    def _load(self, text: str) -> Job:
        """The job that a path names; what is not an ID names none and reaches no file."""
        try:
            job_id = JobId.parse(text)
        except ValueError:
            raise JobNotFound from None
        return self.service.jobs.glance(job_id)

    async def _handle(self, route: Route, request: _Request) -> Answer:
        query = decode_query(request.scope["query_string"], route.query)
        if request.is_socket and not route.is_socket:
            raise InvalidRequest("this path is no WebSocket", field="Upgrade")
        with self.service.bodies.empty_share(request.user_name) as share:
            body = None if route.body is None else await self._body(route, request, share)
            request.program = _program_of(route, request.job, body)
            return await self._perform(route, request, query, body)

    def _shares(self, request: _Request) -> Shares:
        return self.service.operator_shares if request.by_socket else self.service.shares

    async def _body(self, route: Route, request: _Request, share: Share) -> Any:
        """The body as the type that the route asks for; large ones have to share the memory."""

        def make_room(size: int) -> None:
            if size > SMALL:
                share.resize(size)

        assert route.body is not None
        raw = await read_body(request.headers, request.receive, route.most_body, make_room)
        request.large = len(raw) > SMALL
        if len(raw) <= IN_PASSING:
            return decode_body(request.headers, raw, route.body)
        with await self.service.decoded.share(request.user_name, 1):
            return await asyncio.to_thread(decode_body, request.headers, raw, route.body)

    async def _perform(self, route: Route, request: _Request, query: Any, body: Any) -> Answer:
        call = Call(
            service=self.service,
            caller=request.user,
            target=request.job,
            query=query,
            body=body,
            headers=request.headers,
            receive=request.receive,
            token=request.token,
            stream=request.stream,
            shares=self._shares(request),
        )
        result = await route.handler(call)
        request.acted_on = getattr(result, "id", None)
        if isinstance(result, StreamAnswer):
            await _bound(result, call, request)
        return json_answer(encode(result), route.status) if isinstance(result, Struct) else result


def _program_of(route: Route, job: Job | None, body: Any) -> str | None:
    """The program that a request is to start, for the log."""
    if route.action is permissions.Action.RERUN and job:
        return job.spec.program
    return getattr(body, "program", None)


@dataclass(slots=True)
class _Request:
    """One request: what came, what has been found out, and how it went.

    ``large`` where its body or its answer took more memory than most.
    """

    scope: Scope
    receive: Receive
    stream: AnswerStream
    user: User | None = None
    token: str | None = field(default=None, repr=False)
    job: Job | None = None
    program: str | None = None
    acted_on: str | None = None
    caller: Caller | None = None
    place: Place | None = None
    slowed: bool = False
    large: bool = False
    status: int = 500
    began: float = field(default_factory=perf_counter)

    def close(self) -> None:
        """Gives back what it has held while it lasted."""
        if self.caller is not None:
            self.caller.leave()
        if self.place is not None:
            self.place.close()

    @property
    def client(self) -> Client:
        """The address and the port of the client."""
        return self.scope.get("client") or ("", "0")

    @property
    def by_socket(self) -> bool:
        """Whether it came by the operator's socket, whose own name is a path."""
        server = self.scope.get("server")
        return server is not None and server[0].startswith("/")

    @property
    def is_socket(self) -> bool:
        """Whether the client asks for a WebSocket."""
        return bool(self.scope["type"] == "websocket")

    @property
    def user_name(self) -> str:
        """The name of the user who asks; empty on a public route."""
        return self.user.name if self.user else ""

    @property
    def method(self) -> str:
        """The method, in capitals; that of a WebSocket is GET (RFC 6455)."""
        return str(self.scope.get("method", "GET"))

    @property
    def path(self) -> str:
        """The path, percent-decoded; any text at all."""
        return str(self.scope["path"])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, their names in lower case."""
        headers: list[tuple[bytes, bytes]] = self.scope["headers"]
        return headers


async def _bound(answer: StreamAnswer, call: Call, request: _Request) -> None:
    """Counts an answer that lasts as long as its reader likes; raises ``TooManyRequests``."""
    try:
        request.place = call.lasting()
    except TooManyRequests:
        await answer.discard()
        raise


def _refuse_ambiguous_length(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuses a request of two lengths, which a proxy before us may read as two requests."""
    if header(headers, b"transfer-encoding") and header(headers, b"content-length"):
        raise InvalidRequest(
            "Content-Length and Transfer-Encoding are both given", field="Content-Length"
        )


def _log_request(request: _Request) -> None:
    """Logs a line for each request, without headers, query or body: they may hold secrets.

    A request that only reads, and went well, is logged for debugging alone: a line costs
    as much as the request. So is one of many that fail by their token.
    """
    reads = request.method in ("GET", "HEAD") and request.status < 400
    level = logging.DEBUG if reads or request.slowed else logging.INFO
    if not _log.isEnabledFor(level):
        return
    client = request.scope.get("client")
    fields = {
        "client": client[0] if client else None,
        "user": request.user.name if request.user else None,
        "method": request.method[:20],
        "path": redact(request.path[:200]),
        "status": request.status,
        "ms": round((perf_counter() - request.began) * 1000, 2),
    }
    if request.program is not None:
        job = request.acted_on and str(request.acted_on)
        fields |= {"program": redact(request.program[:200]), "job": job}
    _log.log(level, "request", extra=fields)
