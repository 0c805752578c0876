"""Blocking HTTPS connections to one server, kept open between calls.

Each is checked before the token goes over it. The methods are ``async`` so that
``calls.py`` is written once, and never wait for an event loop: see ``blocking.py``.
"""

from __future__ import annotations

import socket
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse

from jobworker.client import detour, endpoint, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from jobworker.client.detour import OnDetour
    from jobworker.client.exchange import Request
    from jobworker.client.failures import ConnectionLost
    from jobworker.client.profiles import Profile
    from jobworker.client.retry import RetryPolicy


class BlockingTransport:
    """Connections that are made when they are needed, one for each exchange at a time.

    Safe for several threads: taking an idle connection from a list, and putting it
    back, is one step each.
    """

    def __init__(
        self, profile: Profile, retry_policy: RetryPolicy, on_detour: OnDetour | None = None
    ) -> None:
        self._profile = profile
        self._retry_policy = retry_policy
        self._detour = detour.Detour(profile, on_detour)
        self._idle: list[HTTPConnection] = []

    async def send(self, request: Request) -> BlockingExchange:
        """Sends ``request``; see ``exchange.Transport``."""
        http = self._take() or self._connect()
        http.sock.settimeout(request.silence(self._retry_policy.answer))
        headers = {**request.headers, "Authorization": f"Bearer {self._profile.token}"}
        try:
            http.request(request.method, request.target, request.body, headers)
            return BlockingExchange(self, http, http.getresponse())
        except BaseException as error:  # Ctrl-C too: half an answer must not meet the next call
            http.close()
            if isinstance(error, OSError | HTTPException):
                raise self.lost(error) from None
            raise

    async def pause(self, seconds: float) -> None:
        """Lets time go by."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no event loop

    async def close(self) -> None:
        """Ends the idle connections; the next call makes a new one."""
        while self._idle:
            self._idle.pop().close()

    def put_back(self, http: HTTPConnection) -> None:
        """Keeps a connection, whose last answer has been read, for the next call."""
        if http.sock is None or len(self._idle) >= endpoint.MAX_IDLE:
            http.close()
        else:
            self._idle.append(http)

    def lost(self, error: Exception) -> ConnectionLost:
        """The failure of a connection of this transport."""
        return endpoint.lost(self._profile, error)

    def _take(self) -> HTTPConnection | None:
        while self._idle:
            try:
                http = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if not endpoint.has_been_closed(http.sock.fileno()):
                return http
            http.close()
        return None

    def _connect(self) -> HTTPConnection:
        """Shakes hands first: only then is there anything that the token may go over."""
        host, port = endpoint.address(self._profile)
        name, budget = endpoint.name_as_bytes(host), self._retry_policy.connect
        context = trust.make_context(self._profile)
        sock = self._by_socket(context, name) if self._detour.first else None
        if sock is None:
            self._detour.insist()
            try:
                plain = socket.create_connection((name, port), budget)  # type: ignore[arg-type]
                sock = _shake_hands(plain, context, name)
            except OSError as error:
                failure = trust.explain(error, self._profile)
                sock = self._by_socket(context, name)
                if sock is None:
                    raise failure from None
                self._detour.take(failure)
        endpoint.prepare(sock)
        http = HTTPConnection(host, port)
        http.sock = sock
        http.auto_open = 0  # HTTPConnection would open a plain one
        return http

    def _by_socket(self, context: ssl.SSLContext, name: bytes) -> ssl.SSLSocket | None:
        """A connection by the server's own socket; None where it cannot be had."""
        plain = self._detour.connect()
        if plain is None:
            return None
        plain.settimeout(self._retry_policy.connect)
        try:
            return _shake_hands(plain, context, name)
        except OSError:
            return None


def _shake_hands(plain: socket.socket, context: ssl.SSLContext, name: bytes) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


class BlockingExchange:
    """An answer that has begun; see ``exchange.Exchange``."""

    def __init__(
        self, transport: BlockingTransport, http: HTTPConnection, response: HTTPResponse
    ) -> None:
        self.status = response.status
        self.reason = response.reason
        self._transport = transport
        self._http: HTTPConnection | None = http
        self._response = response

    def header(self, name: str) -> str | None:
        """The value of a header of the answer."""
        return self._response.headers[name]

    async def piece(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        if self._http is None:
            return b""
        try:
            data = self._response.read1(endpoint.CHUNK)
            if not data and self._response.length:
                raise ConnectionError(f"{self._response.length} bytes of the answer are missing")
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError | HTTPException):
                raise self._transport.lost(error) from None
            raise
        if not data:
            self._response.close()  # read1 does not, and the next request would be refused
            http, self._http = self._http, None
            self._transport.put_back(http)
        return data

    async def close(self) -> None:
        """Ends the connection, unless the answer has been read to its end."""
        if self._http:
            self._http.close()
            self._response.close()
            self._http = None
