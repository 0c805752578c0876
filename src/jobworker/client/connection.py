"""One HTTPS connection to one server, kept open between calls.

It is checked before the token goes over it. Not for several threads at once.
"""

from __future__ import annotations

import json
import select
import socket
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlsplit

from jobworker.client import failures, trust
from jobworker.errors import ConfigurationInvalid, JobWorkerError, ServerUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jobworker.client.profiles import Profile

CONNECT_TIMEOUT = 10.0
"""Seconds for TCP and TLS: enough for three lost packets in a row (1 + 2 + 4 s)."""

ANSWER_TIMEOUT = 60.0
"""Seconds without a byte of an answer, beyond what the call itself may take."""

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A follower may wait for hours; a peer that is gone is noticed after a minute."""

_CHUNK = 64 * 1024


class Connection:
    """A connection that is made when it is first needed, and again when it was closed.

    Every call raises ``ServerUnreachable`` where the server cannot be reached or is not
    trusted, and the class of ``errors.py`` that the server answered with.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._http: HTTPConnection | None = None

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        if self._http:
            self._http.close()
            self._http = None

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, takes: float = 0.0
    ) -> Any:
        """Send one request and return the answer's JSON.

        ``takes`` is how many seconds the server may rightly need for it.
        """
        response = self._send(method, path, body, {}, ANSWER_TIMEOUT + takes)
        return self._decode(response, self._read(response))

    def stream(self, path: str, *, first: int = 0, follow: bool = False) -> Iterator[bytes]:
        """Get ``path`` from byte ``first`` on, piece by piece as the bytes come."""
        headers = {"Range": f"bytes={first}-"} if first else {}
        timeout = None if follow else ANSWER_TIMEOUT  # a job may be silent for hours
        response = self._send("GET", path, None, headers, timeout)
        if response.status >= 400:
            self._decode(response, self._read(response))
        finished = False
        try:
            while piece := self._read(response, _CHUNK):
                yield piece
            response.close()  # read1 does not, and the next call would be refused
            finished = True
        finally:
            if not finished:  # the rest of the answer would be taken for the next one
                self.close()

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        headers: dict[str, str],
        timeout: float | None,
    ) -> HTTPResponse:
        http = self._connected()
        headers["Authorization"] = f"Bearer {self._profile.token}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode("ascii")
        http.sock.settimeout(timeout)
        try:
            http.request(method, path, content, headers)
            return http.getresponse()
        except BaseException as error:  # Ctrl-C too: half an answer must not meet the next call
            self.close()
            if isinstance(error, OSError | HTTPException):
                raise self._lost(error) from None
            raise

    def _connected(self) -> HTTPConnection:
        if self._http and (self._http.sock is None or _has_been_closed(self._http.sock)):
            self.close()
        if self._http is None:
            self._http = self._connect()
        return self._http

    def _connect(self) -> HTTPConnection:
        """Shake hands first: only then is there anything that the token may go over."""
        host, port = _address(self._profile)
        # As bytes: for text, the socket module loads the IDNA codec, which takes 2 ms.
        name = host.encode("ascii" if host.isascii() else "idna")
        context = trust.make_context(self._profile)
        try:
            plain = socket.create_connection((name, port), CONNECT_TIMEOUT)  # type: ignore[arg-type]
            try:
                sock = context.wrap_socket(plain, server_hostname=name)
            except BaseException:
                plain.close()
                raise
        except OSError as error:
            raise trust.explain(error, self._profile) from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        http = HTTPConnection(host, port)
        http.sock = sock
        http.auto_open = 0  # HTTPConnection would open a plain one
        return http

    def _read(self, response: HTTPResponse, size: int | None = None) -> bytes:
        """All of the answer, or the next piece of it, empty at its end."""
        try:
            data = response.read() if size is None else response.read1(size)
            if not data and response.length:
                raise ConnectionError(f"{response.length} bytes of the answer are missing")
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | HTTPException):
                raise self._lost(error) from None
            raise
        return data

    def _decode(self, response: HTTPResponse, body: bytes) -> Any:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or (response.status >= 400 and "code" not in answer):
            raise JobWorkerError(
                f"{self._profile.server} answered {response.status} {response.reason}, "
                "but not as jobd does",
                hint="check the address of the profile; a proxy may be in between",
            )
        if response.status >= 400:
            raise failures.from_answer(answer)
        return answer

    def _lost(self, error: Exception) -> ServerUnreachable:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
        return ServerUnreachable(
            f"lost the connection to {self._profile.server}: {reason or type(error).__name__}",
            hint="what was asked may have been done; jobs go on: see jobctl list",
        )


def _address(profile: Profile) -> tuple[str, int]:
    try:
        parts = urlsplit(profile.server)
        port = parts.port or 443
    except ValueError:
        parts, port = urlsplit(""), 0
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "https" or not parts.hostname or extra:
        raise ConfigurationInvalid(
            f"the server of profile {profile.name!r} must be https://HOST:PORT, "
            f"not {profile.server!r}",
            field="server",
        )
    return parts.hostname, port


def _has_been_closed(sock: socket.socket) -> bool:
    """Whether an idle server has hung up: between answers it has nothing else to say."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
