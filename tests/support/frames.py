"""Frames as they come over the wire, read without our own client."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from support.jobd import Jobd

Frame = dict[str, Any]

_BUDGET = 60.0
"""Seconds without a byte after which a follower has hung."""


class Api:
    """Requests to a server, as a user of it, each on a connection of its own."""

    def __init__(self, jobd: Jobd, user: str | None = None) -> None:
        self.jobd = jobd
        self.token = jobd.succeed("token", "print", user=user).strip()
        self.context = ssl.create_default_context(cafile=jobd.succeed("ca", user=user).strip())

    @contextmanager
    def get(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """The answer to a GET, closed at the end whether it was read or not."""
        where = urlsplit(self.jobd.url)
        assert where.hostname
        connection = http.client.HTTPSConnection(
            where.hostname, where.port, context=self.context, timeout=_BUDGET
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(
                "GET", path, headers={"Authorization": f"Bearer {self.token}", **named}
            )
            yield connection.getresponse()
        finally:
            connection.close()

    def json(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and body of an answer in JSON."""
        with self.get(path, **headers) as answer:
            return answer.status, json.loads(answer.read())

    def frames(self, job_id: str, query: str = "follow=true", **headers: str) -> Iterator[Frame]:
        """Frames one after another; ends where the answer does, cut off or not."""
        with self.get(f"/jobs/{job_id}/output?{query}", **headers) as answer:
            assert answer.status == 200, answer.read()
            try:
                for line in answer:
                    if not line.endswith(b"\n"):
                        return
                    yield json.loads(line)
            except (http.client.HTTPException, OSError):
                return


def data_of(frame: Frame) -> bytes:
    """The bytes of a frame."""
    if frame.get("encoding") == "base64":
        return base64.b64decode(frame["data"])
    return str(frame["data"]).encode()
