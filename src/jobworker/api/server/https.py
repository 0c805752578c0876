"""The server from its start to its stop: who listens, who is let in, what ends when.

``docs/decisions/http-server.md`` tells why this one, and what was tried.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from jobworker.config.settings import Address
from jobworker.errors import StateUnusable

if TYPE_CHECKING:  # it is imported when a server starts, see there
    from jobworker.api.server.embedded import Embedded, Places

_log = logging.getLogger(__name__)

STOP_BUDGET = 10.0
"""Most seconds for the requests in hand once the server is told to stop: a start takes
milliseconds, so what takes longer has hung."""
CUT_BUDGET = 1.0
"""Most seconds for the answers to those that are cut: they are written, not worked out."""

RETIREMENT = 86_400.0
"""Most seconds that a request in hand may go on after the certificate was renewed."""


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
        self._retiring: dict[asyncio.Task[None], Embedded] = {}
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
        budget: Places,
        certificate: Path,
        key: Path,
    ) -> None:
        from jobworker.api.server.embedded import embedded  # noqa: PLC0415 - late, see there

        self._listener = listener.dup()
        self._server_on = partial(embedded, app, budget=budget, certificate=certificate, key=key)
        try:
            self.first = self._server_on(listener)
        except StateUnusable:
            self._listener.close()
            raise

    def next(self) -> Embedded:
        """Another server on the same socket, with the certificate of now."""
        return self._server_on(self._listener.dup())

    def close(self) -> None:
        """Closes the socket as far as it is ours: it goes with the last server on it."""
        self._listener.close()


@dataclass(frozen=True, slots=True)
class _OperatorBudget:
    """The parts of the few connections of the operator's socket, as those of ``FdBudget``."""

    places: int = OPERATOR_CONNECTIONS
    queue: int = OPERATOR_CONNECTIONS
    lasting: int = OPERATOR_CONNECTIONS // 2
    stops: int = OPERATOR_CONNECTIONS // 4


def _tell_broken(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()):
        _log.error("a crowd of connections is not looked after any more", exc_info=error)
