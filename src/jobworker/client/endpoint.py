"""The common part of both kinds of connections: the address, the socket, errors for a loss."""

from __future__ import annotations

import select
import socket

from jobworker.client.failures import ConnectionLost
from jobworker.errors import ConfigurationInvalid, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.exchange import Request
    from jobworker.client.profiles import Profile

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A follower may wait for hours; a peer that is gone is noticed after a minute."""

CHUNK = 64 * 1024
"""Most bytes of an answer that are taken at once."""

MAX_IDLE = 16
"""Most connections that are kept for later calls."""


def address(profile: Profile) -> tuple[str, int]:
    """Host and port of the profile's server; raises ``ConfigurationInvalid``."""
    scheme, _, place = profile.server.partition("://")
    host, port = _host_and_port(place.rstrip("/"))
    if scheme.lower() != "https" or not _is_host(host) or not _is_port(port):
        raise ConfigurationInvalid(
            f"the server of profile {profile.name!r} must be https://HOST:PORT, "
            f"not {profile.server!r}",
            field="server",
        )
    return host.lower(), int(port or 0) or 443


def _host_and_port(place: str) -> tuple[str, str]:
    """``place`` in its parts, read by hand: ``urllib.parse`` takes 2 ms to load."""
    if place.startswith("["):
        host, closed, port = place[1:].partition("]")
        right = ":" in host and closed and port[:1] in ("", ":")
        return (host, port[1:]) if right else ("", "")
    host, _, port = place.partition(":")
    return host, port


def _is_host(host: str) -> bool:
    return bool(host) and host.isprintable() and not set(host) & set(" /?#@[]\\")


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and int(text[:6]) < 1 << 16)


def headers(profile: Profile, request: Request) -> dict[str, str]:
    """The headers of ``request`` to the profile's server; raises ``ConfigurationInvalid``."""
    host, port = address(profile)
    name = f"[{host}]" if ":" in host else name_as_bytes(host).decode("ascii")
    found = {"Host": f"{name}:{port}"}
    if request.body is not None:
        found["Content-Length"] = str(len(request.body))
    return found | request.headers | {"Authorization": f"Bearer {profile.token}"}


def name_as_bytes(host: str) -> bytes:
    """``host`` as the socket and TLS take it without loading the IDNA codec (2 ms)."""
    return host.encode("ascii" if host.isascii() else "idna")


def prepare(sock: socket.socket) -> None:
    """Makes a socket send at once, and notice a peer that is gone."""
    if sock.family == socket.AF_UNIX:
        return  # which does both
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def has_been_closed(descriptor: int) -> bool:
    """Whether an idle server has hung up: between answers it has nothing else to say."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def lost(profile: Profile, error: Exception | str) -> ConnectionLost:
    """The failure of a connection over which something was sent already."""
    reason = reason_of(error) if isinstance(error, Exception) else error
    if isinstance(error, TimeoutError):
        reason = "it did not answer in time"
    return ConnectionLost(
        f"lost the connection to {profile.server}: {reason or type(error).__name__}",
        hint="what was asked may have been done; jobs go on: see jobctl list",
    )
