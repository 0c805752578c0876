"""Sockets to listen on: an address of the network, or the operator's in the state directory."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from jobworker.config.settings import Address
from jobworker.errors import ConfigurationInvalid, StateUnusable

OPERATOR_SOCKET = "jobd.sock"
"""Its name in the state directory."""

OPERATOR_CONNECTIONS = 16
"""Connections of the operator's socket at once: of one account, and of nobody's job."""

START_BUDGET = 5.0
"""Most seconds for granian to begin to serve: it takes milliseconds, on a machine that is busy."""

SILENCE_BUDGET = 60
"""Most seconds that a peer may leave data unacknowledged before it counts as gone."""


class AddressTaken(ConfigurationInvalid):
    """Another socket listens on the address, and may be gone later."""


UNSENT = 128 * 1024
"""Bytes of a connection that may wait in the kernel before they are sent (tcp(7)): without a
bound a client that does not read has four megabytes there, which is a lot for many of them."""


def listen(address: Address, queue: int) -> socket.socket:
    """A socket that listens on ``address``.

    Raises ``AddressTaken``, and ``ConfigurationInvalid`` where the address is not ours.
    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, *_, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=queue)
    except (OSError, UnicodeError) as error:
        # The socket module adds the address again, as a tuple.
        why = str(getattr(error, "strerror", None) or error).partition(" (while ")[0]
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise (AddressTaken if taken else ConfigurationInvalid)(
            f"cannot listen on {address}: {why}",
            field="listen",
            hint="choose another address with --listen, or port 0 for any free port",
        ) from None


def prepare(listener: socket.socket) -> None:
    """Sets what is to hold for every connection that the socket accepts."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_BUDGET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_BUDGET * 1000)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    listener.setblocking(False)


def listen_for_operator(directory: Path) -> socket.socket:
    """The operator's socket in a state directory, in the place of one that was left behind.

    Nobody but our account may connect. It is named by way of a descriptor, as the path of a
    socket has 107 bytes at most. Raises ``StateUnusable``.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listener.fileno(), 0o600)  # which the file gets that bind(2) makes
        within = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            with suppress(FileNotFoundError):
                os.unlink(OPERATOR_SOCKET, dir_fd=within)
            listener.bind(f"/proc/self/fd/{within}/{OPERATOR_SOCKET}")
        finally:
            os.close(within)
        listener.listen(OPERATOR_CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StateUnusable(
            f"cannot make the operator's socket {directory / OPERATOR_SOCKET}: {error.strerror}"
        ) from None
    return listener


async def until_operator_is_served(directory: Path) -> None:
    """Returns once hands can be shaken at the operator's socket, or after ``START_BUDGET``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is ourselves
    within = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(START_BUDGET):
                _, writer = await asyncio.open_unix_connection(
                    f"/proc/self/fd/{within}/{OPERATOR_SOCKET}", ssl=context, server_hostname=""
                )
                writer.transport.abort()
    finally:
        os.close(within)
