"""The socket, TLS and HTTP: granian's embedded server, set up for us.

``docs/decisions/http-server.md`` tells why this one, and what was tried.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # exported, but not by __all__
from granian.server.embed import Server

from jobworker.api.dispatch import Dispatcher
from jobworker.api.server.crowd import Crowd
from jobworker.api.server.gate import AcceptGate, FdBudget
from jobworker.api.server.listening import (
    OPERATOR_CONNECTIONS,
    OPERATOR_SOCKET,
    listen,
    listen_for_operator,
    prepare,
    until_operator_is_served,
)
from jobworker.api.service import StreamBroken
from jobworker.config.settings import Address
from jobworker.errors import StateUnusable

_log = logging.getLogger(__name__)

PROTOCOLS = HTTPModes.http1
"""HTTP/1.1 alone. Until it knows whether a client speaks HTTP/2, hyper has no deadline
(hyper issues 3756 and 3962), and who has shaken hands for TLS could hold a connection for ever;
``docs/decisions/http-server.md`` weighs the two."""

HEADER_BUDGET = 10_000
"""Most milliseconds for a request's header: more than any honest client on a bad line needs."""

MAX_HEADER = 64 * 1024
"""Most bytes of a request's header, the path included; what clients send is below 2 KiB."""

STOP_BUDGET = 10.0
"""Most seconds for the requests in hand once the server is told to stop: a start takes
milliseconds, so what takes longer has hung."""
CUT_BUDGET = 1.0
"""Most seconds for the answers to those that are cut: they are written, not worked out."""

RETIREMENT = 86_400.0
"""Most seconds that a request in hand may go on after the certificate was renewed."""

_LOGGING = {
    # granian would set up handlers of its own and close everybody else's; incremental
    # leaves the handlers alone and sets the level only.
    "incremental": True,
    "handlers": {},
    "loggers": {"_granian": {}},
}


class HttpsServer:
    """Serves an app over TLS 1.3, by HTTP/1.1, from ``start`` to ``stop``.

    ``where`` is the real address, whose port is the one that the kernel picked for port 0,
    or the path of the operator's socket.
    """

    def __init__(
        self, app: Dispatcher, where: object, endpoint: _Endpoint, gate: AcceptGate | None = None
    ) -> None:
        self.where = where
        self._app = app
        self._endpoint = endpoint
        self._gate = gate
        self._watching = asyncio.create_task(gate.watch()) if gate else None
        if self._watching:
            self._watching.add_done_callback(_tell_broken)
        self._server = endpoint.first
        self._serving = asyncio.create_task(endpoint.first.serve())
        self._retiring: dict[asyncio.Task[None], _Embedded] = {}
        self._renewals: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        app: Dispatcher,
        address: Address,
        certificate: Path,
        key: Path,
        listener: socket.socket | None = None,
    ) -> HttpsServer:
        """Begins to serve; on ``listener``, where that listens on ``address`` already.

        Raises ``ConfigurationInvalid`` when the address is not available (``AddressTaken``
        when another socket has it) or the process may open too few files, ``StateUnusable``
        when the certificate or its key cannot be used.
        """
        budget = FdBudget.of_this_process()
        listener = listener or listen(address, budget.queue)
        prepare(listener)
        real = Address(address.host, listener.getsockname()[1])
        crowd = Crowd(real.port, budget, app.callers)
        gate = AcceptGate(listener, budget, crowd.look)
        try:
            endpoint = _Endpoint(app, listener, budget, certificate, key)
        except StateUnusable:
            gate.close()
            raise
        shares = app.service.shares
        shares.lasting.most, shares.stops.most = budget.lasting, budget.stops
        return cls(app, real, endpoint, gate)

    @classmethod
    async def start_for_operator(
        cls, app: Dispatcher, directory: Path, certificate: Path, key: Path
    ) -> HttpsServer:
        """Begins to serve the operator by a socket in the state directory.

        Raises ``StateUnusable``.
        """
        listener = listen_for_operator(directory)
        budget = _OperatorBudget()
        shares = app.service.operator_shares
        shares.lasting.most, shares.stops.most = budget.lasting, budget.stops
        endpoint = _Endpoint(app, listener, budget, certificate, key)
        served = cls(app, directory / OPERATOR_SOCKET, endpoint)
        # granian dies where it finds no descriptor for its beginning, and a crowd may wait at
        # the other socket already to take them all.
        await until_operator_is_served(directory)
        return served

    @property
    def address(self) -> Address:
        """The address of the network that it serves."""
        assert isinstance(self.where, Address)
        return self.where

    def __repr__(self) -> str:
        state = "ended" if self._serving.done() else "serving"
        gate = f", {self._gate!r}" if self._gate else ""
        retiring = f", {len(self._retiring)} retiring" if self._retiring else ""
        return f"<HttpsServer {state} at {self.where}{gate}{retiring}>"

    async def wait(self) -> None:
        """Returns once the server has ended: after ``stop``, or because it broke."""
        serving = None
        while serving is not self._serving:  # another one has taken over
            serving = self._serving
            await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()

    def renew(self) -> None:
        """Shows the certificate that is in its file now to those who connect from now on.

        Requests in hand go on for ``RETIREMENT`` at most; up to then the old certificate may
        still be shown. Raises ``StateUnusable`` where the new one cannot be used.
        """
        server, self._server = self._server, self._endpoint.next()
        serving, self._serving = self._serving, asyncio.create_task(self._server.serve())
        self._retiring[serving] = server
        renewal = asyncio.create_task(self._retire(serving))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)

    async def _retire(self, serving: asyncio.Task[None]) -> None:
        await self._app.until_answered(RETIREMENT)
        self._retiring[serving].stop()  # type: ignore[no-untyped-call]  # as below
        await asyncio.wait({serving})
        del self._retiring[serving]

    async def stop(self) -> None:
        """Takes no more requests, ends long polls and streams, and finishes the rest."""
        self._app.drain()
        # granian does not wait for them, and with it their connections go.
        await self._app.until_sockets_end(STOP_BUDGET)
        await self._close_gate()
        for renewal in self._renewals:
            renewal.cancel()
        self._endpoint.close()
        for server in (self._server, *self._retiring.values()):
            server.stop()  # type: ignore[no-untyped-call]  # granian has no annotations here
        _, late = await asyncio.wait({self._serving, *self._retiring}, timeout=STOP_BUDGET)
        if late:
            _log.warning("requests in hand did not end within %s s and are cut", STOP_BUDGET)
            self._app.cut()
            _, late = await asyncio.wait(late, timeout=CUT_BUDGET)
        if late:
            for serving in late:
                serving.cancel()
            await asyncio.wait(late)

    async def _close_gate(self) -> None:
        """Closes the gate's descriptor, so that the socket closes when granian closes its own."""
        if self._gate and self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            self._gate.close()


class _Endpoint:
    """A listening socket, and the servers of granian on it: ``first``, and those after it.

    A server of granian's reads its certificate once, so that another takes over. Raises
    ``StateUnusable``, and closes ``listener`` then.
    """

    def __init__(
        self,
        app: Dispatcher,
        listener: socket.socket,
        budget: _Places,
        certificate: Path,
        key: Path,
    ) -> None:
        self._listener = listener.dup()
        self._server_on = partial(_embedded, app, budget=budget, certificate=certificate, key=key)
        try:
            self.first = self._server_on(listener)
        except StateUnusable:
            self._listener.close()
            raise

    def next(self) -> _Embedded:
        """Another server on the same socket, with the certificate of now."""
        return self._server_on(self._listener.dup())

    def close(self) -> None:
        """Closes the socket as far as it is ours: it goes with the last server on it."""
        self._listener.close()


class _Places(Protocol):
    """The connections that a server may serve, and that may wait in the kernel's queue."""

    @property
    def places(self) -> int: ...

    @property
    def queue(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _OperatorBudget:
    """The parts of the few connections of the operator's socket, as those of ``FdBudget``."""

    places: int = OPERATOR_CONNECTIONS
    queue: int = OPERATOR_CONNECTIONS
    lasting: int = OPERATOR_CONNECTIONS // 2
    stops: int = OPERATOR_CONNECTIONS // 4


class _Embedded(Server):
    """granian's server on a socket that is bound already.

    Its own sockets are bound with SO_REUSEPORT, so that a second server on a busy port
    would get every other connection instead of an error, and it does not tell the port
    that the kernel picked for port 0.
    """

    def __init__(
        self, listener: socket.socket, queue: int, app: Dispatcher, **settings: Any
    ) -> None:
        super().__init__(app, **settings)
        self._listener = listener
        self._queue = queue
        self._shd: Any = None

    def _init_shared_socket(self) -> None:
        # The holder closes the descriptor when the worker ends. Its stub and that of the
        # attribute are behind the code, which takes these three and keeps it here.
        holder: Any = SocketHolder
        by_path = self._listener.family == socket.AF_UNIX
        # granian itself would have a queue of 128 at least.
        self._shd = holder(self._listener.detach(), by_path, self._queue)


def _embedded(
    app: Dispatcher, listener: socket.socket, budget: _Places, certificate: Path, key: Path
) -> _Embedded:
    """The server of granian; raises ``StateUnusable``, and closes ``listener`` then."""
    _quieten_granian()
    try:
        return _Embedded(
            listener,
            budget.queue,
            app,
            interface=Interfaces.ASGINL,
            http=PROTOCOLS,
            websockets=True,
            runtime_threads=1,
            backpressure=budget.places,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEADER_BUDGET, max_buffer_size=MAX_HEADER
            ),
            ssl_cert=certificate,
            ssl_key=key,
            ssl_protocol_min=SSLProtocols.tls13,
            log_level=LogLevels.warning,
            log_dictconfig=_LOGGING,
        )
    except (OSError, ssl.SSLError) as error:
        listener.close()
        raise StateUnusable(f"cannot use certificate {certificate}: {error}") from None


def _tell_broken(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()):
        _log.error("a crowd of connections is not looked after any more", exc_info=error)


def _quieten_granian() -> None:
    """Drops the lines that granian logs of itself, and those that the dispatcher logs better."""
    for name in ("_granian", "_granian.utils"):  # where the two kinds of lines come from
        logging.getLogger(name).addFilter(_is_worth_a_line)  # a second time adds nothing


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # granian's Rust part writes the traceback into the message.
    text = record.getMessage()
    return text != "Embedded server is experimental!" and StreamBroken.__name__ not in text
