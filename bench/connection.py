"""A light HTTPS client: one keep-alive connection, fixed requests, no library.

The load shares the machine's cores with what it measures, so it does as little as it can.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

_CALL_BUDGET = 90.0
"""Seconds for one answer: longer than ``wait`` holds a request."""


class Connection:
    """Speaks to one server as one user."""

    def __init__(
        self, address: tuple[str, int], ca: Path, token: str, receive: int | None = None
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(ca)
        raw = socket.socket()
        raw.settimeout(_CALL_BUDGET)
        if receive is not None:  # what the kernel announces is settled by the first packet
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        raw.connect(address)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(raw, server_hostname=address[0])
        self._head = f"Host: {address[0]}\r\nAuthorization: Bearer {token}\r\n"

    def start(self, program: str, *args: str, limits: Mapping[str, float] | None = None) -> str:
        """``POST /jobs/start``; returns the ID."""
        body = json.dumps({"program": program, "args": args, "limits": limits or {}})
        answer = self._call("POST", "/jobs/start", body)
        assert answer["error"] is None, answer
        return str(answer["id"])

    def wait(self, job_id: str, seconds: int = 60) -> dict[str, Any]:
        """The job once it has ended."""
        return self._call("GET", f"/jobs/{job_id}?wait={seconds}")

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        return self._call("GET", f"/jobs/{job_id}")

    def list_running(self) -> list[dict[str, Any]]:
        """The newest thousand of the jobs that run."""
        jobs: list[dict[str, Any]] = self._call("GET", "/jobs?status=Running&limit=1000")["jobs"]
        return jobs

    def stop(self, job_id: str) -> None:
        """``POST /jobs/{id}/stop``."""
        self._call("POST", f"/jobs/{job_id}/stop")

    def frames(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The frames of a job's output as they come; the connection is of no use after it."""
        self.ask(f"/jobs/{job_id}/output?follow=true")
        pending = b""
        while True:
            *lines, pending = (pending + self._more()).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):  # not a head or the length of a chunk
                    frame: dict[str, Any] = json.loads(line)
                    yield frame
                    if frame["stream"] == "end":
                        return

    def ask(self, path: str) -> None:
        """Send a GET, and leave the answer unread."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    def expect_ok(self) -> None:
        """Read the beginning of the answer, which must be one that is as it should be."""
        begin = self._more()
        assert begin.startswith(b"HTTP/1.1 200"), begin[:400]

    def _call(self, method: str, path: str, body: str = "") -> dict[str, Any]:
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall((head + body).encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        headers, _, rest = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(headers)
        assert length, headers
        while len(rest) < int(length[1]):
            rest += self._more()
        answer: dict[str, Any] = json.loads(rest)
        return answer

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
