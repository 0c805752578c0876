"""Raw HTTPS calls to a real server, as a script with curl would make them."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from support.jobd import Jobd

Answer = tuple[int, dict[str, Any]]


class Calls:
    """One caller of one server; ``token`` None sends no Authorization header."""

    def __init__(self, jobd: Jobd, token: str | None) -> None:
        host, port = jobd.listen.rsplit(":", 1)
        self._address = (host, int(port))
        self._context = ssl.create_default_context(cafile=jobd.succeed("ca").strip())
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def of(cls, jobd: Jobd, user: str) -> Calls:
        """The caller who has this user's profile."""
        return cls(jobd, jobd.succeed("token", "print", user=user).strip())

    def __call__(self, method: str, path: str, body: object = None) -> Answer:
        """One call with a JSON body; returns the status and the JSON of the answer."""
        status, _, data = self.raw(method, path, json.dumps(body).encode() if body else b"")
        return status, json.loads(data)

    def connect(self) -> http.client.HTTPSConnection:
        """A connection that nothing has been sent over."""
        return http.client.HTTPSConnection(*self._address, context=self._context, timeout=60)

    def raw(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One call; returns status, headers in lower case, and the body's bytes."""
        connection = self.connect()
        sent = self.headers | {key.replace("_", "-"): value for key, value in headers.items()}
        if body:
            sent = {"Content-Type": "application/json"} | sent
        try:
            connection.request(method, path, body or None, sent)
            response = connection.getresponse()
            data = response.read()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, data
        finally:
            connection.close()
