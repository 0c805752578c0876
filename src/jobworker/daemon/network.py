"""From an address to a server of the network, however long another process has the port.

A job may take it while the server restarts, and nothing but the port's number keeps it from
that. The server then waits for the port; meanwhile its operator reaches it by its socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobworker.api.dispatch import Dispatcher
from jobworker.api.server.https import HttpsServer
from jobworker.api.server.listening import AddressTaken
from jobworker.config.settings import Address
from jobworker.daemon.port_holder import who_listens
from jobworker.tls.files import TlsFiles

_log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between two attempts, doubled each time: a port that is given up is soon ours."""

TELL_AGAIN = 60.0
"""Seconds of waiting after which the log says again who has the port."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What may happen while the port is another's: ``stop`` is asked, which ends the waiting.

    ``prepare`` is called once before, so that the operator can use ``socket``.
    """

    stop: asyncio.Event
    prepare: Callable[[], None]
    socket: Path


async def serve_network(
    app: Dispatcher,
    files: TlsFiles,
    address: Address,
    listener: socket.socket | None,
    waiting: Waiting,
) -> HttpsServer | None:
    """Serves ``address``, on ``listener`` where there is one; None where a stop is asked first.

    Raises ``ConfigurationInvalid`` where the address can never be had, and ``StateUnusable``.
    """
    pause, next_word = FIRST_PAUSE, 0.0
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await HttpsServer.start(app, address, files.server, files.server, listener)
        except AddressTaken as error:
            if not next_word:
                waiting.prepare()
            if loop.time() >= next_word:
                next_word = loop.time() + TELL_AGAIN
                await _tell(error, address, waiting.socket)
        try:
            async with asyncio.timeout(pause):
                await waiting.stop.wait()
        except TimeoutError:
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return None


async def _tell(error: AddressTaken, address: Address, path: Path) -> None:
    holder = await asyncio.to_thread(who_listens, address.port)
    _log.warning(
        "%s, by %s; trying again until it is free. Meanwhile this account reaches the server by %s",
        error,
        holder,
        path,
    )
