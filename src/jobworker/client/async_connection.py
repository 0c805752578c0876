"""HTTPS connections on asyncio, kept open between calls: streams, and h11 for HTTP/1.1.

Each is checked before the token goes over it. A cancelled call leaves no connection
behind on which half an answer would meet the next call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import h11

from jobworker.client import detour, endpoint, trust

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable

    from jobworker.client.detour import OnDetour
    from jobworker.client.exchange import Request
    from jobworker.client.failures import ConnectionLost
    from jobworker.client.profiles import Profile
    from jobworker.client.retry import RetryPolicy

T = TypeVar("T")

MAX_SHORT = endpoint.MAX_IDLE
"""Most calls at once that the server answers at once; the others wait for their turn.

A TLS handshake is most of what a connection costs, so a thousand calls share a few.
Waiting and following are not counted: each may hold its connection for hours.
"""


class AsyncTransport:
    """Connections that are made when they are needed; for one event loop."""

    def __init__(
        self, profile: Profile, retry_policy: RetryPolicy, on_detour: OnDetour | None = None
    ) -> None:
        self._profile = profile
        self._retry_policy = retry_policy
        self._detour = detour.Detour(profile, on_detour)
        self._idle: list[_Link] = []
        self._turns = asyncio.Semaphore(MAX_SHORT)

    async def send(self, request: Request) -> AsyncExchange:
        """Sends ``request``; see ``exchange.Transport``."""
        turn = self._turns if request.takes == 0 else None
        if turn:
            await turn.acquire()
        try:
            return await self._send(request, turn)
        except BaseException:
            if turn:
                turn.release()
            raise

    async def pause(self, seconds: float) -> None:
        """Lets time go by."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Ends the idle connections; the next call makes a new one."""
        links, self._idle = self._idle, []
        for link in links:
            link.end()
        await asyncio.gather(*(link.gone() for link in links))

    def put_back(self, link: _Link) -> None:
        """Keeps a connection, whose last answer has been read, for the next call."""
        if link.is_reusable() and len(self._idle) < endpoint.MAX_IDLE:
            self._idle.append(link)
        else:
            link.end()

    def lost(self, error: Exception) -> ConnectionLost:
        """The failure of a connection of this transport."""
        return endpoint.lost(self._profile, error)

    async def _send(self, request: Request, turn: asyncio.Semaphore | None) -> AsyncExchange:
        headers = list(endpoint.headers(self._profile, request).items())
        link = self._take() or await self._connect()
        silence = request.silence(self._retry_policy.answer)
        try:
            head = await _within(silence, link.ask(request, headers))
        except BaseException as error:  # cancelled too: half an answer must not meet the next call
            link.end()
            if isinstance(error, OSError | EOFError | h11.RemoteProtocolError):
                raise self.lost(error) from None
            raise
        return AsyncExchange(self, link, head, silence, turn)

    def _take(self) -> _Link | None:
        while self._idle:
            link = self._idle.pop()
            if not link.has_been_closed():
                return link
            link.end()
        return None

    async def _connect(self) -> _Link:
        """Shakes hands first: only then is there anything that the token may go over."""
        host, port = endpoint.address(self._profile)
        context = trust.make_context(self._profile)
        if self._detour.first and (link := await self._by_socket(context, host)):
            return link
        self._detour.insist()
        opening = asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        try:
            return _Link(*await _within(self._retry_policy.connect, opening))
        except OSError as error:
            failure = trust.explain(error, self._profile)
        link = await self._by_socket(context, host)
        if link is None:
            raise failure
        self._detour.take(failure)
        return link

    async def _by_socket(self, context: ssl.SSLContext, host: str) -> _Link | None:
        """A connection by the server's own socket; None where nobody serves there."""
        plain = self._detour.connect()
        if plain is None:
            return None
        opening = asyncio.open_connection(sock=plain, ssl=context, server_hostname=host)
        try:
            return _Link(*await _within(self._retry_policy.connect, opening))
        except OSError:
            plain.close()
            return None


class AsyncExchange:
    """An answer that has begun; see ``exchange.Exchange``."""

    def __init__(
        self,
        transport: AsyncTransport,
        link: _Link,
        head: h11.Response,
        silence: float | None,
        turn: asyncio.Semaphore | None,
    ) -> None:
        self.status = head.status_code
        self.reason = head.reason.decode("latin-1")
        self._headers = head.headers
        self._transport = transport
        self._link: _Link | None = link
        self._silence = silence
        self._turn = turn

    def header(self, name: str) -> str | None:
        """The value of a header of the answer."""
        wanted = name.lower().encode("ascii")
        return next(
            (value.decode("latin-1") for key, value in self._headers if key == wanted), None
        )

    async def piece(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        if self._link is None:
            return b""
        try:
            data = await _within(self._silence, self._link.piece())
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError | EOFError | h11.RemoteProtocolError):
                raise self._transport.lost(error) from None
            raise
        if not data:
            self._transport.put_back(self._let_go(self._link))
        return data

    async def close(self) -> None:
        """Ends the connection, unless the answer has been read to its end."""
        if self._link:
            self._let_go(self._link).end()

    def _let_go(self, link: _Link) -> _Link:
        self._link = None
        if self._turn:
            self._turn.release()
        return link


class _Link:
    """One connection, and how far HTTP has come on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._socket = writer.get_extra_info("socket")
        endpoint.prepare(self._socket)

    async def ask(self, request: Request, headers: list[tuple[str, str]]) -> h11.Response:
        """Sends ``request``; returns the head of the answer."""
        self._send(h11.Request(method=request.method, target=request.target, headers=headers))
        if request.body:
            self._send(h11.Data(data=request.body))
        self._send(h11.EndOfMessage())
        await self._writer.drain()
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        assert isinstance(event, h11.Response)
        return event

    async def piece(self) -> bytes:
        """The next bytes of the answer's body; empty at its end."""
        event = await self._event()
        while isinstance(event, h11.Data) and not event.data:
            event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def is_reusable(self) -> bool:
        """Whether another request may follow; makes ready for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        if self._http.trailing_data[0]:  # what has come already is no answer to that
            return False
        self._http.start_next_cycle()
        return True

    def has_been_closed(self) -> bool:
        """Whether the server has hung up, as far as this loop or the kernel knows."""
        return (
            self._writer.is_closing()
            or self._reader.at_eof()
            or endpoint.has_been_closed(self._socket.fileno())
        )

    def end(self) -> None:
        """Ends the connection at once: there is nothing to say good-bye to."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Returns once the socket is closed."""
        try:
            await self._writer.wait_closed()
        except OSError:
            pass  # how it was lost is nobody's concern any more

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self._writer.write(self._http.send(event) or b"")

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(endpoint.CHUNK)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise EOFError("the server hung up before it answered")
            self._http.receive_data(data)
        return event


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    """Awaits ``work``; raises ``TimeoutError`` after as many seconds."""
    async with asyncio.timeout(seconds):
        return await work
