"""Clients that take what others need: connections, requests that last, bad tokens (T68, T38).

One that is refused is told which bound it has met; the others are served, a stop first.
"""

from __future__ import annotations

import json
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from jobworker.identity.tokens import mint
from jobworker.model import Level
from support.calls import Calls
from support.jobd import Jobd, MakeJobd
from support.levels import account_for
from support.waiting import until

PROMPT = 5.0
"""Seconds for a call that takes milliseconds, on a machine that is busy with a crowd; half of
what a silent connection lasts, so that waiting for its end would be seen."""

MOST = 256
"""Requests that last which one user may have: the default of the setting."""

FEW_FILES = 600
"""Descriptors for a server with few connections: 138, so that a crowd is soon one."""

MOST_OF_20 = 18
"""Calls that are served of 20, each on a new connection and none tried again, while some job
opens connections as fast as it can: whoever connects in the same moment may be taken for it."""

ANSWER_BUDGET = 30.0
"""Seconds for one answer of a server under attack, whose refusals wait a second each."""


class Line:
    """A TLS connection of somebody who speaks HTTP by hand."""

    def __init__(self, server: Jobd, token: str | None = None) -> None:
        host, port = server.listen.rsplit(":", 1)
        context = ssl.create_default_context(cafile=server.home / "ca.pem")
        plain = socket.create_connection((host, int(port)), ANSWER_BUDGET)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        self._token = token

    def ask(self, call: str, body: bytes = b"", token: str | None = None) -> tuple[int, str]:
        """Send one request; the status and as much of the answer as comes with its head."""
        lines = [f"{call} HTTP/1.1", "Host: x", f"Authorization: Bearer {token or self._token}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = self.socket.recv(65536).decode()
        return int(answer.split()[1]), answer

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def lines() -> Iterator[Callable[..., Line]]:
    """Make connections that are closed in the end."""
    with ExitStack() as opened:

        def make(server: Jobd, token: str | None = None) -> Line:
            line = Line(server, token)
            opened.callback(line.close)
            return line

        yield make


@pytest.fixture
def program(compiled: Callable[[str], str], shared_dir: Path) -> Callable[[str], list[str]]:
    """The command line of an attack, in C or in Python."""

    def command(name: str) -> list[str]:
        script = Path(__file__).with_name("programs") / f"{name}.py"
        if not script.exists():
            return [compiled(name)]
        copy = shared_dir / script.name
        copy.write_text(script.read_text())
        return ["/usr/bin/python3", "-I", str(copy)]

    return command


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Room for the descriptors of a crowd in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def token_of(server: Jobd, user: str) -> str:
    """The token of a user, who is made if need be."""
    if user not in server.jobd("user", "list").stdout:
        assert server.jobd("user", "add", user).returncode == 0
    (server.home / "ca.pem").write_bytes(Path(server.succeed("ca").strip()).read_bytes())
    return server.succeed("token", "print", user=user).strip()


def follow(line: Line, job_id: str) -> tuple[int, str]:
    return line.ask(f"GET /jobs/{job_id}/output/stdout?follow=true")


def prompt(call: Calls, method: str, path: str) -> int:
    """The status of a call on a connection of its own; it must come soon."""
    began = time.monotonic()
    status = call(method, path)[0]
    assert time.monotonic() - began < PROMPT
    return status


def attempt(call: Calls, method: str, path: str) -> int | None:
    """The same; None where the connection is lost to the crowd."""
    try:
        return prompt(call, method, path)
    except OSError:
        return None


def is_stopped(call: Calls, job_id: str) -> bool:
    """Whether a job has been stopped, now or before."""
    return attempt(call, "POST", f"/jobs/{job_id}/stop") in (200, 409)


def test_t68_one_user_with_many_followers_is_refused_and_others_are_served(
    jobd: Jobd, lines: Callable[..., Line]
) -> None:
    """Whatever else that user asks is served, too; a place that is left is given again."""
    alice, admin = token_of(jobd, "alice"), Calls.of(jobd, "admin")
    job_id = jobd.start_job("/bin/sleep", "300", user="alice")
    held = [lines(jobd, alice) for _ in range(MOST)]
    assert {follow(line, job_id)[0] for line in held} == {200}
    last = lines(jobd, alice)
    status, answer = follow(last, job_id)
    assert status == 429
    assert "retry-after: 5" in answer.lower()
    body = json.loads(answer.partition("\r\n\r\n")[2])
    assert body["code"] == "too_many_requests"
    assert f"alice has {MOST} requests" in body["error"]
    assert "lasting-requests" in body["hint"]
    assert last.ask(f"GET /jobs/{job_id}?wait=30")[0] == 429
    assert last.ask(f"GET /jobs/{job_id}")[0] == 200
    assert prompt(admin, "GET", f"/jobs/{job_id}?wait=0.1") == 200
    held.pop().close()
    until(lambda: follow(lines(jobd, alice), job_id)[0] == 200)
    assert prompt(admin, "POST", f"/jobs/{job_id}/stop") == 200


def test_t68_stops_that_wait_for_a_grace_are_bounded_and_a_plain_one_is_not(
    make_jobd: MakeJobd, lines: Callable[..., Line], shared_dir: Path
) -> None:
    config = shared_dir / "jobd.toml"
    config.write_text("[per-user]\nlasting-requests = 2\n")
    jobd = make_jobd("--config", str(config))
    alice = token_of(jobd, "alice")
    job_id = jobd.start_job("/bin/sh", "-c", "trap '' TERM; echo up; sleep 300", user="alice")
    until(lambda: "up" in jobd.succeed("output", job_id))
    for _ in range(2):
        waiting = lines(jobd, alice).socket
        body = b'{"grace": 300}'
        waiting.sendall(
            f"POST /jobs/{job_id}/stop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
    line = lines(jobd, alice)
    until(lambda: line.ask(f"POST /jobs/{job_id}/stop", b'{"grace": 300}')[0] == 429)
    assert line.ask(f"POST /jobs/{job_id}/stop")[0] == 200


def test_t68_all_users_together_leave_connections_for_what_is_short(
    make_jobd: MakeJobd, lines: Callable[..., Line]
) -> None:
    """Each within the bound of one user; together they would take all there are."""
    jobd = make_jobd(wrapper=("prlimit", f"--nofile={FEW_FILES}"))
    jobs, served = [], []
    for user in ("alice", "bob", "carol"):
        token = token_of(jobd, user)
        jobs.append(job_id := jobd.start_job("/bin/sleep", "300", user=user))
        count = 0
        while (status := follow(lines(jobd, token), job_id)[0]) == 200:
            count += 1
        assert status == 429
        served.append(count)
    half, others, rest = served
    assert half - others in (0, 1)
    assert rest == 0, "two have all that last"
    admin = Calls.of(jobd, "admin")
    assert prompt(admin, "GET", "/jobs") == 200
    assert [prompt(admin, "POST", f"/jobs/{job_id}/stop") for job_id in jobs] == [200] * 3


def test_t68_one_user_with_many_idle_connections_locks_nobody_out(
    make_jobd: MakeJobd, lines: Callable[..., Line]
) -> None:
    jobd = make_jobd(wrapper=("prlimit", f"--nofile={FEW_FILES}"))
    alice, admin = token_of(jobd, "alice"), Calls.of(jobd, "admin")
    job_id = jobd.start_job("/bin/sleep", "300")
    follower = lines(jobd, token_of(jobd, "bob"))
    for number in range(FEW_FILES // 2):
        assert lines(jobd, alice).ask("GET /me")[0] == 200
        if number == 50:
            assert follower.ask("GET /me")[0] == 200
        if number % 10 == 0:
            assert prompt(admin, "GET", "/jobs") == 200
    assert prompt(admin, "POST", f"/jobs/{job_id}/stop") == 200


def test_t68_who_shakes_hands_and_says_nothing_locks_nobody_out(
    make_jobd: MakeJobd, lines: Callable[..., Line]
) -> None:
    """More than there are places, all of them younger than the deadline."""
    jobd = make_jobd(wrapper=("prlimit", f"--nofile={FEW_FILES}"))
    token_of(jobd, "admin")
    admin = Calls.of(jobd, "admin")
    for _ in range(FEW_FILES // 2):
        lines(jobd)
    assert prompt(admin, "GET", "/jobs") == 200


@pytest.mark.parametrize("attack", ["connections", "handshakes"])
def test_t68_a_job_without_a_token_that_opens_connections_locks_nobody_out(
    make_jobd: MakeJobd, level: Level, attack: str, program: Callable[[str], list[str]]
) -> None:
    server = make_jobd(
        "--containment",
        level,
        account=account_for(level),
        wrapper=("prlimit", f"--nofile={FEW_FILES}"),
    )
    port = server.listen.rpartition(":")[2]
    admin = Calls.of(server, "admin")
    jobs = [server.start_job(*program(attack), port, "400") for _ in range(2)]
    until(lambda: all("ready" in server.succeed("output", job_id) for job_id in jobs))
    calls = [attempt(admin, "GET", "/me") for _ in range(20)]
    assert calls.count(200) >= MOST_OF_20
    for job_id in jobs:
        until(partial(is_stopped, admin, job_id))


def test_t38_a_thousand_bad_tokens_are_refused_and_a_good_one_is_served(
    jobd: Jobd, lines: Callable[..., Line]
) -> None:
    """Refusals wait, and a few of them alone are logged; a good token of the source does not."""
    token_of(jobd, "admin")
    admin = Calls.of(jobd, "admin")

    def show(_: int) -> set[int]:
        line = lines(jobd)
        return {line.ask("GET /me", token=mint()[0].reveal())[0] for _ in range(10)}

    with ThreadPoolExecutor(100) as attackers:
        attack = [attackers.submit(show, number) for number in range(100)]
        until(lambda: "refusals wait" in jobd.log.read_text())
        assert [prompt(admin, "GET", "/me") for _ in range(20)] == [200] * 20
        assert set().union(*(one.result() for one in attack)) == {401}
    logged = [line for line in jobd.log.read_text().splitlines() if '"status": 401' in line]
    assert len(logged) < 200
