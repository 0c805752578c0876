"""A small real HTTPS server that answers what a test tells it to, and certificates for it."""

from __future__ import annotations

import base64
import copy
import ipaddress
import json
import os
import pty
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ID = "j-9f8b6c52-0d3e-4c7a-8a53-1f2e3d4c5b6a"
NOW = datetime.now(UTC)
TOKEN = "test-token-1234"
Answer = tuple[int, dict[str, Any]] | Callable[["Handler"], None]


@dataclass
class Authority:
    """A CA that signs what a test asks for."""

    directory: Path
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        name = _name(f"CA of {self.directory.name}")
        self.certificate = (
            _builder(name, name, self.key, NOW - timedelta(days=9), NOW + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.path = self.directory / "ca.pem"
        self.path.write_bytes(_pem(self.certificate))

    def context(
        self, *, host: str = "127.0.0.1", begins: int = -1, ends: int = 1
    ) -> ssl.SSLContext:
        """A server's TLS with a new certificate; ``begins`` and ``ends`` are days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        address: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            address = x509.IPAddress(ipaddress.ip_address(host))
        leaf = (
            _builder(
                _name(host),
                self.certificate.subject,
                key,
                NOW + timedelta(days=begins),
                NOW + timedelta(days=ends),
            )
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        both = self.directory / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        both.write_bytes(private + _pem(leaf))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Handler(BaseHTTPRequestHandler):
    """Records each request and gives the answer that the test has laid out for it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        # A connection keeps its handler for all of its requests.
        self.server.seen.append(copy.copy(self))
        key = f"{self.command} {self.path}"
        answer = self.server.answers.get(key) or self.server.answers.get(
            f"{key.partition('?')[0]}?*"
        )
        if answer is None:
            error = {"error": f"Error: no answer is laid out for {key}", "code": "not_found"}
            answer = (404, error)
        if callable(answer):
            answer(self)
        else:
            self.reply(answer[0], json.dumps(answer[1]).encode())

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  http.server's names

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer with the whole of ``body``."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin_chunks(self, status: int = 200) -> None:
        """Begin an answer whose length is not known."""
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """Send a piece of it; an empty one ends it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def hang_up(self) -> None:
        """Close the connection after what has been written, however little that was."""
        self.close_connection = True
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Say nothing: what arrives is in ``seen``."""


class Server(ThreadingHTTPServer):
    """The server of a test; ``answers`` maps ``METHOD PATH`` to an answer.

    A key that ends with ``?*`` stands for any query.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        self.answers: dict[str, Answer] = {}
        self.seen: list[Handler] = []
        self.connections = 0
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's thread, so that a bad client stops nobody else."""
        try:
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            self.connections += 1
            super().finish_request(request, client_address)
        except OSError:
            pass  # the client did not trust us, or went away: what the test is about
        finally:
            request.close()
            self._closed.set()

    def wait_for_close(self) -> None:
        """Wait until the server has closed a connection."""
        assert self._closed.wait(10)

    def requests(self) -> list[str]:
        return [f"{handler.command} {handler.path}" for handler in self.seen]


@dataclass
class Jobctl:
    """Runs the real command as a process of its own."""

    environment: dict[str, str]

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-m", "jobworker.cli.main", *words]

    def __call__(self, *words: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
            **options,
        )

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*words), env=self.environment, **options)


def on_terminal(jobctl: Jobctl, *words: str) -> tuple[int, str]:
    """Run ``jobctl`` on a terminal of its own; its exit code and what is seen there."""
    controller, terminal = pty.openpty()
    process = jobctl.spawn(*words, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    try:
        while True:
            try:
                seen += os.read(controller, 65_536)
            except OSError:  # EIO: nobody holds the terminal any more
                break
    finally:
        os.close(controller)
    return process.wait(60), seen.decode()


def view(**changes: Any) -> dict[str, Any]:
    """A job that runs, but for ``changes``."""
    job: dict[str, Any] = {
        "id": ID,
        "status": "Running",
        "exitCode": None,
        "error": None,
        "reason": None,
        "cause": None,
        "signal": None,
        "owner": "alice",
        "program": "/bin/echo",
        "args": ["a\tb\x1b", {"base64": "/w=="}],
        "name": None,
        "labels": {},
        "limits": {},
        "pid": None,
        "runAs": None,
        "network": True,
        "containment": "full",
        "input": None,
        "node": "here",
        "createdAt": "2026-01-31T12:00:00.5Z",
        "startedAt": "2026-01-31T12:00:00.75Z",
        "finishedAt": None,
        "deadline": None,
        "evidence": None,
        "usage": None,
        "gaps": [],
    }
    return job | changes


def lines(
    stdout: list[str], stderr: list[str], gaps: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The output of the job by lines."""
    answer = {"id": ID, "stdout": stdout, "stderr": stderr, "error": None}
    return answer | ({"gaps": gaps} if gaps else {})


FAILED = view(
    status="Failed",
    cause="exited",
    exitCode=3,
    evidence={},
    reason="exited with code 3",
    finishedAt="2026-01-31T12:00:01Z",
)


def frame(seq: int, stream: str, data: bytes) -> bytes:
    """One frame of output as the server sends it; ``seq`` is the number of its last byte."""
    text: dict[str, Any] = {"data": data.decode("latin-1")}
    if not data.isascii():
        text = {"data": base64.b64encode(data).decode(), "encoding": "base64"}
    time = "2026-01-31T12:00:00Z"
    return json.dumps({"seq": seq, "time": time, "stream": stream, **text}).encode() + b"\n"


def dropped(seq: int, stream: str, count: int) -> bytes:
    """A frame in the place of bytes that were not kept."""
    fields = {"seq": seq, "stream": stream, "data": "", "dropped": count}
    return json.dumps({"time": "2026-01-31T12:00:00Z", **fields}).encode() + b"\n"


def end_frame(job: dict[str, Any], seq: int = 0) -> bytes:
    """The last frame of a job that ended like ``job``."""
    names = ("status", "exitCode", "signal", "cause", "reason")
    fields = {"seq": seq, "time": job["finishedAt"], "stream": "end", "data": ""}
    return json.dumps(fields | {name: job[name] for name in names}).encode() + b"\n"
