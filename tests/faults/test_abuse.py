"""Clients that mean harm, against a real server: slow ones, crowds, floods (T29-T31, T35, T50).

``tests/integration/test_api_server.py`` sends the malformed requests one by one (T31, T48).
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest

from support.calls import Calls
from support.jobd import Jobd, MakeJobd
from support.waiting import until

DEADLINE = 10.0
"""Seconds after which the server lets go of a client that does not say what it wants."""

SLACK = 5.0
"""Seconds more on a machine that is busy with other tests."""

SILENT = 500

FEW_FILES = 600
"""Descriptors for a server that is to have few: it takes some 27 for itself."""

GROWTH = 64 * 1024 * 1024
"""Bytes by which a server may grow for what is refused: eight bodies of the largest size."""


class Wire:
    """Connections to a server, byte by byte, as one of its users."""

    def __init__(self, jobd: Jobd) -> None:
        host, port = jobd.listen.rsplit(":", 1)
        self.address = (host, int(port))
        self._trust = ssl.create_default_context(cafile=jobd.succeed("ca").strip())
        token = jobd.succeed("token", "print").strip()
        self.head = f"Host: x\r\nAuthorization: Bearer {token}\r\n".encode()

    def tcp(self) -> socket.socket:
        return socket.create_connection(self.address, DEADLINE + SLACK)

    def knock(self) -> socket.socket:
        """A connection that is begun; whether the server takes it is seen later."""
        knocking = socket.socket()
        knocking.setblocking(False)
        knocking.connect_ex(self.address)
        return knocking

    def tls(self) -> ssl.SSLSocket:
        return self._trust.wrap_socket(self.tcp(), server_hostname=self.address[0])

    def ask(self, on: ssl.SSLSocket, call: str, body: bytes = b"") -> int:
        """Make one call on an open connection; returns its status."""
        head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        on.sendall(f"{call} HTTP/1.1\r\n".encode() + self.head + head + body)
        answer = on.recv(65536)
        assert answer.startswith(b"HTTP/1.1 ")
        return int(answer.split()[1])


@pytest.fixture
def wire(jobd: Jobd) -> Wire:
    return Wire(jobd)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for the descriptors of a crowd in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * SILENT)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it, once there is something to read."""
    with suppress(ConnectionError, ssl.SSLError):
        return connection.recv(65536) == b""
    return True


def wait_until_closed(connections: Iterable[socket.socket], seconds: float) -> int:
    """Wait until the server has closed them; returns how many it has not."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                if is_closed(key.fileobj):
                    selector.unregister(key.fileobj)
        return len(selector.get_map())


@pytest.mark.usefixtures("many_files")
def test_t29_who_connects_and_says_nothing_is_let_go_and_holds_up_nobody(
    jobd: Jobd, wire: Wire
) -> None:
    began = time.monotonic()
    with ExitStack() as opened:
        silent = [opened.enter_context(wire.tcp()) for _ in range(SILENT)]
        asked = time.monotonic()
        assert jobd.jobctl("run", "--", "/bin/true").returncode == 0
        assert time.monotonic() - asked < SLACK
        left = DEADLINE + SLACK - (time.monotonic() - began)
        assert wait_until_closed(silent, left) == 0
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0


def drip(connection: socket.socket, what: bytes, seconds: float) -> float:
    """Send a byte now and then until the server closes; returns the seconds that took."""
    began = time.monotonic()
    connection.settimeout(0.2)
    for number in range(int(seconds / 0.2)):
        try:
            connection.sendall(what[number : number + 1])
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            continue  # not closed yet: the next byte
        except (ConnectionError, ssl.SSLError):
            break
    return time.monotonic() - began


def test_t30_who_drips_a_header_or_half_a_body_is_let_go(jobd: Jobd, wire: Wire) -> None:
    """Whatever comes in between: what counts is that it is not done."""
    dripped: list[float] = []
    start = b"POST /jobs/start HTTP/1.1\r\n" + wire.head + b"Content-Type: application/json\r\n"
    with wire.tls() as header, wire.tls() as body, wire.tls() as chunks, wire.tls() as mute:
        body.sendall(start + b'Content-Length: 500\r\n\r\n{"program":')
        chunks.sendall(start + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"pro')
        endless = b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 1000
        dripping = Thread(target=lambda: dripped.append(drip(header, endless, 30.0)))
        dripping.start()
        assert wait_until_closed([body, chunks, mute], DEADLINE + SLACK) == 0
        dripping.join()
    assert dripped[0] < DEADLINE + SLACK
    assert jobd.succeed("list", "-q", "--all") == ""
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_t31_a_flood_of_what_is_too_large_leaves_memory_flat(jobd: Jobd, wire: Wire) -> None:
    start = b"POST /jobs/start HTTP/1.1\r\n" + wire.head + b"Content-Type: application/json\r\n"
    megabyte = b" " * 1_000_000
    floods = [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        start + b"Content-Length: 10000000\r\n\r\n" + megabyte * 10,
        start + b"Content-Length: 99999999999\r\n\r\n" + megabyte * 10,
        start + b"Transfer-Encoding: chunked\r\n\r\n" + (b"F4240\r\n" + megabyte + b"\r\n") * 31,
        start + b"Content-Length: 1000000\r\n\r\n" + b"[" * 1_000_000,
        start + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]

    def flood(rounds: int) -> None:
        for request in floods * rounds:
            with wire.tls() as connection:
                with suppress(OSError):  # it may close before it has read all
                    connection.sendall(request)
                with suppress(OSError):
                    answer = connection.recv(65536)
                    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")

    flood(2)  # what it takes once and keeps
    before = memory_of(jobd.pid)
    flood(10)
    assert memory_of(jobd.pid) - before < GROWTH
    assert jobd.succeed("list", "-q", "--all") == ""


@pytest.mark.usefixtures("many_files")
def test_t35_a_crowd_of_connections_leaves_descriptors_to_work_with(make_jobd: MakeJobd) -> None:
    """Who is connected can start and stop jobs, and so can who comes after the crowd."""
    jobd = make_jobd(wrapper=("prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}"))
    wire = Wire(jobd)
    job_id = jobd.start_job("/bin/sleep", "300")
    with ExitStack() as opened:
        first = opened.enter_context(wire.tls())
        assert wire.ask(first, "GET /me") == 200
        for _ in range(FEW_FILES):
            opened.enter_context(wire.knock())
        until(lambda: "too many connections" in jobd.log.read_text())
        assert wire.ask(first, "POST /jobs/start", b'{"program": "/bin/true"}') == 201
        assert wire.ask(first, f"POST /jobs/{job_id}/stop") == 200
        until(lambda: jobd.jobctl("run", "--", "/bin/true").returncode == 0)
    assert "Too many open files" not in jobd.log.read_text()


@pytest.mark.root
def test_t35_a_server_out_of_descriptors_says_so_and_recovers(jobd: Jobd, wire: Wire) -> None:
    """A stop that comes meanwhile is not lost: it is done as soon as it can be."""
    job_id = jobd.start_job("/bin/sleep", "300")
    stopped: list[int] = []
    with wire.tls() as one, wire.tls() as other:
        assert wire.ask(one, "GET /me") == wire.ask(other, "GET /me") == 200
        before = resource.prlimit(jobd.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(jobd.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            assert wire.ask(one, "POST /jobs/start", b'{"program": "/bin/true"}') == 503
            assert wire.ask(one, f"GET /jobs/{job_id}/output") == 503
            assert wire.ask(one, f"GET /jobs/{job_id}/output/stdout") == 503
            assert wire.ask(one, f"GET /jobs/{job_id}") == 200
            stop = Thread(
                target=lambda: stopped.append(wire.ask(other, f"POST /jobs/{job_id}/stop"))
            )
            stop.start()
        finally:
            resource.prlimit(jobd.pid, resource.RLIMIT_NOFILE, before)
        stop.join()
    assert stopped == [200]
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0
    assert "this is a bug" not in jobd.log.read_text()


def test_t50_arguments_that_are_not_utf_8_come_back_as_they_went(jobd: Jobd) -> None:
    """To the program byte for byte, and to whoever looks at the job."""
    call = Calls.of(jobd, "admin")
    arguments = ["%s|", {"base64": "/2EK"}, "ä", {"base64": "w6Q="}, ""]
    status, answer = call("POST", "/jobs/start", {"program": "/usr/bin/printf", "args": arguments})
    assert (status, answer["error"]) == (201, None)
    path = f"/jobs/{answer['id']}"
    assert call("GET", f"{path}?wait=60")[1]["args"] == [*arguments[:3], "ä", ""]
    assert call.raw("GET", f"{path}/output/stdout")[2] == b"\xffa\n|\xc3\xa4|\xc3\xa4||"
    shown = json.loads(jobd.succeed("status", "--json", answer["id"]))
    assert shown["args"][1] == {"base64": "/2EK"}
