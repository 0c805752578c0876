"""Blocking HTTPS connections to one server, kept open between calls.

Each is checked before the token goes over it. The methods are ``async`` so that
``calls.py`` is written once, and never wait for an event loop: see ``blocking.py``.
"""

from __future__ import annotations

import socket
import time

from jobworker.client import detour, endpoint, http1, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from jobworker.client.detour import OnDetour
    from jobworker.client.exchange import Request
    from jobworker.client.failures import ConnectionLost
    from jobworker.client.http1 import Answer
    from jobworker.client.profiles import Profile
    from jobworker.client.retry import RetryPolicy


LOST = (OSError, EOFError, http1.BadAnswer)
"""The failures of a connection over which something was sent."""


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
        self._idle: list[_Link] = []

    async def send(self, request: Request) -> BlockingExchange:
        """Sends ``request``; see ``exchange.Transport``."""
        headers = endpoint.headers(self._profile, request)
        written = http1.request(request.method, request.target, headers, request.body)
        link = self._take() or self._connect()
        try:
            answer = link.ask(written, request.silence(self._retry_policy.answer))
        except BaseException as error:  # Ctrl-C too: half an answer must not meet the next call
            link.end()
            if isinstance(error, LOST):
                raise self.lost(error) from None
            raise
        return BlockingExchange(self, link, answer)

    async def pause(self, seconds: float) -> None:
        """Lets time go by."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no event loop

    async def close(self) -> None:
        """Ends the idle connections; the next call makes a new one."""
        while self._idle:
            self._idle.pop().end()

    def put_back(self, link: _Link) -> None:
        """Keeps a connection, whose last answer has been read, for the next call."""
        if link.is_reusable() and len(self._idle) < endpoint.MAX_IDLE:
            self._idle.append(link)
        else:
            link.end()

    def lost(self, error: Exception) -> ConnectionLost:
        """The failure of a connection of this transport."""
        return endpoint.lost(self._profile, error)

    def _take(self) -> _Link | None:
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if not link.has_been_closed():
                return link
            link.end()
        return None

    def _connect(self) -> _Link:
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
        return _Link(sock)

    def _by_socket(self, context: ssl.SSLContext, name: bytes) -> ssl.SSLSocket | None:
        """A connection by the server's own socket; None where nobody serves there."""
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

    def __init__(self, transport: BlockingTransport, link: _Link, answer: Answer) -> None:
        self.status = answer.status
        self.reason = answer.reason
        self._headers = answer.headers
        self._body = answer.body
        self._transport = transport
        self._link: _Link | None = link

    def header(self, name: str) -> str | None:
        """The value of a header of the answer."""
        return self._headers.get(name.lower())

    async def piece(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        if self._link is None:
            return b""
        try:
            data = next(self._body, b"")
        except BaseException as error:
            await self.close()
            if isinstance(error, LOST):
                raise self._transport.lost(error) from None
            raise
        if not data:
            link, self._link = self._link, None
            self._transport.put_back(link)
        return data

    async def close(self) -> None:
        """Ends the connection, unless the answer has been read to its end."""
        if self._link:
            self._link.end()
            self._link = None


class _Link:
    """One connection, and how far HTTP has come on it."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._socket = sock
        self._incoming = http1.Incoming(sock.recv)
        self._last: Answer | None = None

    def ask(self, written: bytes, silence: float | None) -> Answer:
        """Sends a request; returns its answer, with the head read."""
        self._socket.settimeout(silence)
        self._socket.sendall(written)
        self._last = http1.Answer(self._incoming)
        return self._last

    def is_reusable(self) -> bool:
        """Whether another request may follow the answer, which has been read.

        What has come already cannot be the answer to that.
        """
        return self._last is not None and self._last.reusable and self._incoming.is_empty()

    def has_been_closed(self) -> bool:
        """Whether the server has hung up, as far as the kernel knows."""
        return endpoint.has_been_closed(self._socket.fileno())

    def end(self) -> None:
        """Ends the connection."""
        self._socket.close()
