"""The API over real sockets and TLS: what the transport lets through, and how it stops."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobworker.api import answers
from jobworker.api.dispatch import Dispatcher
from jobworker.api.routes import ROUTES
from jobworker.api.server import embedded as embedded_module
from jobworker.api.server import https as server_module
from jobworker.api.server.https import HttpsServer
from jobworker.api.service import Service
from jobworker.config.settings import Address
from jobworker.errors import ConfigurationInvalid, StateUnusable
from jobworker.identity.users import User
from jobworker.model import Job, JobId, Piece, Role, Spec, Stream
from jobworker.testing import MemoryOutput
from support.managed import PATIENCE, Accounts, Managed, Watched, open_managed, watch

USERS = {
    "alice": User("alice", Role.USER),
    "bob": User("bob", Role.USER),
    "admin": User("root", Role.ADMIN),
}


@dataclass
class Served:
    """A server on a loop of its own in a thread, and ways to talk to it.

    ``first`` is a running job of alice's.
    """

    loop: asyncio.AbstractEventLoop
    server: HttpsServer
    managed: Managed
    first: JobId
    address: Address
    certificate: Path

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        plain = self.connect_plain()
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname="127.0.0.1")
        except BaseException:
            plain.close()
            raise

    def connect_plain(self) -> socket.socket:
        return socket.create_connection((self.address.host, self.address.port), PATIENCE)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        token: str | None = "alice",
        **headers: str,
    ) -> tuple[int, bytes]:
        host, port = self.address.host, self.address.port
        connection = http.client.HTTPSConnection(
            host, port, timeout=PATIENCE, context=self.context()
        )
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        with closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back for ``request``, until the server closes."""
        with self.connect() as connection:
            with suppress(OSError):  # it may close before it has read all
                connection.sendall(request)
            return read_all(connection)

    def run(self, what: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(what, self.loop)

    def act(self, what: Callable[..., None], *args: Any) -> None:
        """Do on the loop of the server what is not to be done beside it."""

        async def do() -> None:
            what(*args)

        self.run(do()).result(PATIENCE)

    def start(self) -> JobId:
        """Start another job of alice's."""
        job_id: JobId = self.run(self.managed.start(Spec("/bin/sleep"))).result(PATIENCE)
        return job_id

    def jobs(self) -> tuple[Job, ...]:
        found: tuple[Job, ...] = self.run(self.managed.jobs()).result(PATIENCE)
        return found

    def assert_alive(self) -> None:
        assert self.call("GET", "/healthz", token=None)[0] == 200


def application(managed: Managed | None = None) -> Dispatcher:
    return Dispatcher(Service((managed or Managed()).manager, Accounts(USERS)), ROUTES)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError, ssl.SSLError):  # closed without a goodbye is closed too
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("credentials")
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@pytest.fixture(scope="module", autouse=True)
def _once(credentials: tuple[Path, Path]) -> None:
    """Serve once: tokio opens a pair of sockets for signals and keeps it with the process."""

    async def serve() -> None:
        server = await HttpsServer.start(application(), Address("127.0.0.1", 0), *credentials)
        await server.stop()

    asyncio.run(serve())


@pytest.fixture
def served(credentials: tuple[Path, Path]) -> Iterator[Served]:
    ready: Future[Served] = Future()
    done = asyncio.Event()

    async def main() -> None:
        async with open_managed() as managed:
            first = await managed.start(Spec("/bin/sleep"))
            where = Address("127.0.0.1", 0)
            server = await HttpsServer.start(application(managed), where, *credentials)
            address = server.address
            loop = asyncio.get_running_loop()
            ready.set_result(Served(loop, server, managed, first, address, credentials[0]))
            await done.wait()
            await server.stop()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # shown by the test that waits for it
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    one = ready.result(PATIENCE)
    yield one
    one.loop.call_soon_threadsafe(done.set)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_request(served: Served) -> None:
    status, body = served.call("POST", "/jobs/start", b'{"program": "/bin/true", "args": [5]}')
    job_id = json.loads(body)["id"]
    assert status == 201
    assert json.loads(served.call("GET", f"/jobs/{job_id}")[1])["args"] == ["5"]


def test_a_connection_is_kept_for_more_requests(served: Served) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_tls_1_3_and_http_1_1(served: Served) -> None:
    context = served.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with served.connect(context) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() != "h2"


def test_tls_1_2_is_refused(served: Served) -> None:
    context = served.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        served.connect(context)
    served.assert_alive()


def test_plaintext_is_refused(served: Served) -> None:
    with served.connect_plain() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in read_all(connection)
    served.assert_alive()


def test_who_may_call_what(served: Served) -> None:
    """T36 over the wire; the whole matrix is walked in-process."""
    expected = {None: 401, "nobody": 401, "bob": 403, "alice": 200, "admin": 200}
    for token, status in expected.items():
        job_id = served.start()
        assert served.call("GET", f"/jobs/{job_id}", token=token)[0] == status
        assert served.call("POST", f"/jobs/{job_id}/stop", token=token)[0] == status


@pytest.mark.parametrize(
    "lines",
    [
        b"Authorization: Bearer alice\r\nAuthorization: Bearer alice\r\n",
        b"Authorization: Bearer alice\r\nauthorization: Bearer bob\r\n",
        b"Authorization: Basic YWxpY2U6\r\n",
        b"Authorization:\r\n",
        b"Authorization: Bearer \xc3\xa9\xff\r\n",
        b"Authorization: Bearer alice bob\r\n",
        b"",
    ],
)
def test_broken_credentials(served: Served, lines: bytes) -> None:
    """T39."""
    answer = served.raw(b"GET /me HTTP/1.1\r\nHost: x\r\n" + lines + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"Error: bad authentication" in answer


@pytest.mark.parametrize(
    "job_id",
    [
        "../x",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%00",
        "j" * 10_000,
        "%ff%fe",
        "J-0" * 3,
        ";",
        "%",
    ],
)
def test_malformed_ids(served: Served, job_id: str) -> None:
    """T37."""
    assert served.call("GET", f"/jobs/{job_id}")[0] == 404
    assert served.call("GET", f"/jobs/{job_id}/output/stdout")[0] == 404


HEAD = b"POST /jobs/start HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = b'{"program": "/bin/true"}'


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(HEAD + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n", id="2 MB header"),
        pytest.param(HEAD + b"X: a\r\n" * 20_000 + b"\r\n", id="20,000 headers"),
        pytest.param(b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n\r\n", id="2 MB path"),
        pytest.param(
            HEAD + JSON + b"Content-Length: 4\r\nContent-Length: 24\r\n\r\n" + BODY,
            id="two lengths",
        ),
        pytest.param(
            HEAD
            + JSON
            + b"Content-Length: 24\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
            id="length and chunked",
        ),
        pytest.param(HEAD + JSON + b"Content-Length: -1\r\n\r\n" + BODY, id="negative length"),
        pytest.param(HEAD + JSON + b"Content-Length: 99999999999999999999\r\n\r\n", id="overflow"),
        pytest.param(
            HEAD + JSON + b"Content-Length: 10000000\r\n\r\n" + b" " * 10_000_000, id="10 MB"
        ),
        pytest.param(
            HEAD
            + JSON
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 10,
            id="10 MB chunked",
        ),
        pytest.param(
            HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + BODY, id="no chunk size"
        ),
        pytest.param(b"\x16\x03\x01" + b"\0" * 1000 + b"\r\n\r\n", id="noise"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", id="HTTP/9.9"),
        pytest.param(b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", id="NUL in path"),
    ],
)
def test_hostile_requests(served: Served, request_bytes: bytes) -> None:
    """T31: each is answered with a 4xx or the connection is closed; nothing is started."""
    answer = served.raw(request_bytes)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert answer.count(b"HTTP/1.1") <= 1
    assert len(served.jobs()) == 1
    served.assert_alive()


@pytest.mark.parametrize(
    "body",
    [
        b'{"program": "/bin/true", "args": ["\\u0000"]}',
        b'{"program": "/bin/true", "args": ["\\ud800"]}',
        b'{"program": "/bin/true", "args": ["' + b"x" * 131_072 + b'"]}',
        b'{"program": "/bin/true", "args": [' + b'"' + b"x" * 100_000 + b'",' * 30 + b'""]}',
        b'{"program": "", "args": []}',
        b'{"program": 5}',
        b'{"program": "/bin/true", "program": "/bin/false"}',
        b'{"program": "/bin/true"} x',
        b'{"program": NaN}',
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"program": "\xff"}',
        b"",
    ],
)
def test_bodies_that_cannot_be_run(served: Served, body: bytes) -> None:
    """T48."""
    status, answer = served.call("POST", "/jobs/start", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith("Error: ")
    assert len(served.jobs()) == 1


def test_a_body_shorter_than_promised(served: Served) -> None:
    """A client that leaves in the middle of its body leaves nothing behind."""
    with served.connect() as connection:
        connection.sendall(HEAD + JSON + b"Content-Length: 500\r\n\r\n" + BODY)
    served.assert_alive()
    assert len(served.jobs()) == 1


def test_a_header_that_drips_is_cut_off(
    credentials: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """T30, with the deadline brought down from 10 s."""
    assert credentials
    monkeypatch.setattr(embedded_module, "HEADER_BUDGET", 200)
    served: Served = request.getfixturevalue("served")
    with served.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        assert b"200" not in read_all(connection)


def test_a_large_output_and_a_range_of_it(served: Served) -> None:
    content = bytes(range(256)) * 20_000
    served.act(served.managed.engine.write, served.first, content)
    path = f"/jobs/{served.first}/output/stdout"
    assert served.call("GET", path) == (200, content)
    assert served.call("GET", path, Range="bytes=-5") == (206, content[-5:])
    assert served.call("GET", path, Range="bytes=300-1999999") == (206, content[300:2_000_000])


@pytest.fixture
def waits(served: Served, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Waits for the end of a job."""
    return watch(monkeypatch, served.managed.manager, "wait")


@pytest.fixture
def held_starts(served: Served, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Starts, which the engine does not carry out before the test lets it."""
    watched = watch(monkeypatch, served.managed.engine, "start")
    watched.may_go_on.clear()
    return watched


def test_a_long_poll_ends_when_the_client_leaves(
    served: Served, waits: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with served.connect() as connection:
        path = f"/jobs/{served.first}?wait=300"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n"
        connection.sendall(head.encode())
        assert waits.begun.wait(PATIENCE)
    assert waits.over.wait(PATIENCE)
    served.run(served.server.stop()).result(PATIENCE)
    assert not caplog.records


def open_follow(served: Served) -> ssl.SSLSocket:
    served.act(served.managed.engine.write, served.first, b"skipped stderr\n", Stream.STDERR)
    connection = served.connect()
    path = f"/jobs/{served.first}/output/stderr?follow=true&offset=8"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n"
    connection.sendall(head.encode())
    received = b""
    while b"stderr\n" not in received:
        piece = connection.recv(65536)
        assert piece
        received += piece
    assert b"skipped" not in received
    return connection


def test_a_follower_of_a_silent_job_gets_its_headers_at_once(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """And when the server stops it is cut off, not told of an internal error."""
    path = f"/jobs/{served.first}/output/stdout?follow=true"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
        assert received.startswith(b"HTTP/1.1 200")
        served.run(served.server.stop()).result(PATIENCE)
        assert b"0\r\n\r\n" not in received + read_all(connection)
    assert not caplog.records


def test_follow_ends_with_the_job(served: Served) -> None:
    with open_follow(served) as connection:
        served.act(served.managed.engine.exit, served.first)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(65536)


def test_follow_ends_when_the_client_leaves(
    served: Served, follower_closed: threading.Event
) -> None:
    open_follow(served).close()
    assert follower_closed.wait(PATIENCE)


def test_t33_a_reader_that_stops_reading_is_cut_off_by_a_deadline(
    served: Served, follower_closed: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands, and it says nothing: as half open ones are."""
    monkeypatch.setattr(answers, "SEND_BUDGET", 0.5)
    flood = bytes(answers.CHUNK)
    monkeypatch.setattr(MemoryOutput, "read", lambda _, _stream, at, _length: Piece(at, flood))
    path = f"/jobs/{served.first}/output/stdout?follow=true"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert follower_closed.wait(PATIENCE)
        with suppress(OSError):  # what was on its way by then comes, and the end does not
            assert not read_all(connection).endswith(b"0\r\n\r\n")


def test_stop_ends_what_waits_and_finishes_what_runs(
    served: Served, waits: Watched, held_starts: Watched
) -> None:
    """Nothing is half said: a follower sees a cut, a long poll a 503, a start its answer."""
    answers: dict[str, tuple[int, bytes]] = {}

    def ask(name: str, *call: Any) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.update({name: served.call(*call)}))
        thread.start()
        return thread

    with open_follow(served) as follower:
        threads = [ask("start", "POST", "/jobs/start", b'{"program": "/bin/slow"}')]
        assert held_starts.begun.wait(PATIENCE)
        threads.append(ask("wait", "GET", f"/jobs/{served.first}?wait=300"))
        assert waits.begun.wait(PATIENCE)
        stopping = served.run(served.server.stop())
        assert b"0\r\n\r\n" not in read_all(follower)
        served.act(held_starts.may_go_on.set)
        stopping.result(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert answers["start"][0] == 201
    assert answers["wait"][0] == 503
    with pytest.raises(ConnectionRefusedError):
        served.connect_plain()


def test_a_request_that_hangs_does_not_hold_up_a_stop(
    served: Served,
    held_starts: Watched,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server_module, "STOP_BUDGET", 0.1)
    with served.connect() as connection:
        body = b'{"program": "/bin/slow"}'
        connection.sendall(HEAD + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert held_starts.begun.wait(PATIENCE)
        served.run(served.server.stop()).result(PATIENCE)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 503") or answer == b""
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "are cut" in caplog.text


def test_an_idle_connection_does_not_hold_up_a_stop(served: Served) -> None:
    with served.connect() as idle, served.connect_plain() as silent:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536)
        served.run(served.server.stop()).result(server_module.STOP_BUDGET / 2)
        assert read_all(idle) == b""
        assert read_all(silent) == b""


async def test_a_busy_port_is_told(credentials: tuple[Path, Path]) -> None:
    app = application()
    first = await HttpsServer.start(app, Address("127.0.0.1", 0), *credentials)
    address = first.address
    try:
        with pytest.raises(ConfigurationInvalid, match=f"{address}: Address already in use"):
            await HttpsServer.start(app, address, *credentials)
    finally:
        await first.stop()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a" * 100])
async def test_an_address_that_is_not_ours(credentials: tuple[Path, Path], host: str) -> None:
    app = application()
    with pytest.raises(ConfigurationInvalid, match="cannot listen on"):
        await HttpsServer.start(app, Address(host, 0), *credentials)


async def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    app = application()
    (tmp_path / "c.pem").write_text("nonsense")
    for name in ("c.pem", "missing.pem"):
        file = tmp_path / name
        with pytest.raises(StateUnusable, match="cannot use certificate"):
            await HttpsServer.start(app, Address("127.0.0.1", 0), file, file)


async def test_it_starts_quietly_and_leaves_signals_and_logging_alone(
    credentials: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    root = list(logging.getLogger().handlers)
    app = application()
    server = await HttpsServer.start(app, Address("127.0.0.1", 0), *credentials)
    assert repr(server).startswith(f"<HttpsServer serving at {server.address}, <AcceptGate open")
    await server.stop()
    assert "ended" in repr(server)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert logging.getLogger().handlers == root
    assert not caplog.records
