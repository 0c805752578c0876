"""granian's embedded server, set up for us: TLS and HTTP on a socket that is ours.

Importing this loads granian's library, whose allocator looks up its settings then. So
``https`` does that when a server starts, and not before (``allocators``).
"""

from __future__ import annotations

import logging
import socket
import ssl
from pathlib import Path
from typing import Any, Protocol

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # exported, but not by __all__
from granian.server.embed import Server

from jobworker.api.dispatch import Dispatcher
from jobworker.api.service import StreamBroken
from jobworker.errors import StateUnusable

PROTOCOLS = HTTPModes.http1
"""HTTP/1.1 alone. Until it knows whether a client speaks HTTP/2, hyper has no deadline
(hyper issues 3756 and 3962), and who has shaken hands for TLS could hold a connection for ever;
``docs/decisions/http-server.md`` weighs the two."""

HEADER_BUDGET = 10_000
"""Most milliseconds for a request's header: more than any honest client on a bad line needs."""

MAX_HEADER = 64 * 1024
"""Most bytes of a request's header, the path included; what clients send is below 2 KiB."""

_LOGGING = {
    # granian would set up handlers of its own and close everybody else's; incremental
    # leaves the handlers alone and sets the level only.
    "incremental": True,
    "handlers": {},
    "loggers": {"_granian": {}},
}


class Places(Protocol):
    """The connections that a server may serve, and that may wait in the kernel's queue."""

    @property
    def places(self) -> int:
        """Connections that are served."""

    @property
    def queue(self) -> int:
        """Connections that wait."""


class Embedded(Server):
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


def embedded(
    app: Dispatcher, listener: socket.socket, budget: Places, certificate: Path, key: Path
) -> Embedded:
    """The server of granian; raises ``StateUnusable``, and closes ``listener`` then."""
    _quieten_granian()
    try:
        return Embedded(
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


def _quieten_granian() -> None:
    """Drops the lines that granian logs of itself, and those that the dispatcher logs better."""
    for name in ("_granian", "_granian.utils"):  # where the two kinds of lines come from
        logging.getLogger(name).addFilter(_is_worth_a_line)  # a second time adds nothing


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # granian's Rust part writes the traceback into the message.
    text = record.getMessage()
    return text != "Embedded server is experimental!" and StreamBroken.__name__ not in text
