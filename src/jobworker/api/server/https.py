"""The socket, TLS and HTTP: granian's embedded server, set up for us.

``docs/decisions/http-server.md`` tells why this one, and what was tried.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # exported, but not by __all__
from granian.server.embed import Server

from jobworker.api.dispatch import Dispatcher
from jobworker.api.server.gate import AcceptGate, FdBudget
from jobworker.api.service import StreamBroken
from jobworker.config.settings import Address
from jobworker.errors import ConfigurationInvalid, StateUnusable

_log = logging.getLogger(__name__)

PROTOCOLS = HTTPModes.http1
"""HTTP/1.1 alone. Until it knows whether a client speaks HTTP/2, hyper has no deadline
(hyper issues 3756 and 3962), and who has shaken hands for TLS could hold a connection for ever;
``docs/decisions/http-server.md`` weighs the two."""

HEADER_BUDGET = 10_000
"""Most milliseconds for a request's header: more than any honest client on a bad line needs."""

MAX_HEADER = 64 * 1024
"""Most bytes of a request's header, the path included; what clients send is below 2 KiB."""

SILENCE_BUDGET = 60
"""Most seconds that a peer may leave data unacknowledged before it counts as gone."""

STOP_BUDGET = 10.0
"""Most seconds for the requests in hand once the server is told to stop: a start takes
milliseconds, so what takes longer has hung."""
CUT_BUDGET = 1.0
"""Most seconds for the answers to those that are cut: they are written, not worked out."""

_LOGGING = {
    # granian would set up handlers of its own and close everybody else's; incremental
    # leaves the handlers alone and sets the level only.
    "incremental": True,
    "handlers": {},
    "loggers": {"_granian": {}},
}


class HttpsServer:
    """Serves an app over TLS 1.3, by HTTP/1.1, from ``start`` to ``stop``.

    ``address`` is the real one: its port is the one that the kernel picked for port 0.
    """

    def __init__(
        self, app: Dispatcher, address: Address, server: _Embedded, gate: AcceptGate
    ) -> None:
        self.address = address
        self._app = app
        self._server = server
        self._gate = gate
        self._watching = asyncio.create_task(gate.watch())
        self._watching.add_done_callback(_tell_broken)
        self._serving = asyncio.create_task(server.serve())

    @classmethod
    async def start(
        cls, app: Dispatcher, address: Address, certificate: Path, key: Path
    ) -> HttpsServer:
        """Begins to serve.

        Raises ``ConfigurationInvalid`` when the address is not available, ``StateUnusable``
        when the certificate or its key cannot be used.
        """
        _quieten_granian()
        budget = FdBudget(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        listener = _listen(address, budget.queue)
        real = Address(address.host, listener.getsockname()[1])
        gate = AcceptGate(listener, budget)
        try:
            server = _embedded(app, listener, budget, certificate, key)
        except (OSError, ssl.SSLError) as error:
            listener.close()
            gate.close()
            raise StateUnusable(f"cannot use certificate {certificate}: {error}") from None
        return cls(app, real, server, gate)

    def __repr__(self) -> str:
        state = "ended" if self._serving.done() else "serving"
        return f"<HttpsServer {state} at {self.address}, {self._gate!r}>"

    async def wait(self) -> None:
        """Returns once the server has ended: after ``stop``, or because it broke."""
        await asyncio.wait({self._serving})
        if not self._serving.cancelled():
            self._serving.result()

    async def stop(self) -> None:
        """Takes no more requests, ends long polls and streams, and finishes the rest."""
        self._app.drain()
        # granian does not wait for them, and with it their connections go.
        await self._app.until_sockets_end(STOP_BUDGET)
        await self._close_gate()
        self._server.stop()  # type: ignore[no-untyped-call]  # granian has no annotations here
        _, late = await asyncio.wait({self._serving}, timeout=STOP_BUDGET)
        if late:
            _log.warning("requests in hand did not end within %s s and are cut", STOP_BUDGET)
            self._app.cut()
            _, late = await asyncio.wait(late, timeout=CUT_BUDGET)
        if late:
            self._serving.cancel()
            await asyncio.wait(late)

    async def _close_gate(self) -> None:
        """Closes the gate's descriptor, so that the socket closes when granian closes its own."""
        self._watching.cancel()
        await asyncio.wait({self._watching})
        self._gate.close()


class _Embedded(Server):
    """granian's server on a socket that is bound already.

    Its own sockets are bound with SO_REUSEPORT, so that a second server on a busy port
    would get every other connection instead of an error, and it does not tell the port
    that the kernel picked for port 0.
    """

    def __init__(self, listener: socket.socket, app: Dispatcher, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._listener = listener
        self._shd: Any = None

    def _init_shared_socket(self) -> None:
        # The holder closes the descriptor when the worker ends. Its stub and that of the
        # attribute are behind the code, which takes these three and keeps it here.
        holder: Any = SocketHolder
        self._shd = holder(self._listener.detach(), False, self.backlog)


def _embedded(
    app: Dispatcher, listener: socket.socket, budget: FdBudget, certificate: Path, key: Path
) -> _Embedded:
    return _Embedded(
        listener,
        app,
        interface=Interfaces.ASGINL,
        http=PROTOCOLS,
        websockets=True,
        runtime_threads=1,
        backlog=budget.queue,
        backpressure=budget.connections,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_BUDGET, max_buffer_size=MAX_HEADER),
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls13,
        log_level=LogLevels.warning,
        log_dictconfig=_LOGGING,
    )


def _listen(address: Address, queue: int) -> socket.socket:
    """A listening socket; what is set on it holds for every connection it accepts."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, *_, where = found[0]
        listener = socket.create_server(where[:2], family=family, backlog=queue)
    except (OSError, UnicodeError) as error:
        # The socket module adds the address again, as a tuple.
        why = str(getattr(error, "strerror", None) or error).partition(" (while ")[0]
        raise ConfigurationInvalid(
            f"cannot listen on {address}: {why}",
            field="listen",
            hint="choose another address with --listen, or port 0 for any free port",
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_BUDGET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_BUDGET * 1000)
    listener.setblocking(False)
    return listener


def _tell_broken(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()):
        _log.error("a crowd of connections is not held back any more", exc_info=error)


def _quieten_granian() -> None:
    """Drops the lines that granian logs of itself, and those that the dispatcher logs better."""
    for name in ("_granian", "_granian.utils"):  # where the two kinds of lines come from
        logging.getLogger(name).addFilter(_is_worth_a_line)  # a second time adds nothing


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # granian's Rust part writes the traceback into the message.
    text = record.getMessage()
    return text != "Embedded server is experimental!" and StreamBroken.__name__ not in text
