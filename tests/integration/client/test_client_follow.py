"""Following over real connections that break: both clients against a scripted server."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jobworker import errors
from jobworker.client import Client, End, Profile, Retry, RetryPolicy
from support.both_clients import MakeClient
from support.journal import Journal
from support.small_server import ID, Handler, Server

PATIENCE = RetryPolicy(first_pause=0.01, longest_pause=0.05)
JOURNAL = Journal(
    [("stdout", b"one\n"), ("stderr", bytes(range(256))), ("stdout", "zwei ä\n".encode())] * 20,
    width=50,
)
Cut = Callable[[Handler, bytes], None]


def whole(handler: Handler, body: bytes) -> None:
    handler.begin_chunks()
    for at in range(0, len(body), 1000):
        handler.chunk(body[at : at + 1000])
    handler.chunk(b"")


def before_the_first_byte(handler: Handler, _: bytes) -> None:
    handler.hang_up()


def within_the_head(handler: Handler, _: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Enc")
    handler.hang_up()


def behind_the_head(handler: Handler, _: bytes) -> None:
    handler.begin_chunks()
    handler.hang_up()


def within_a_line(handler: Handler, body: bytes) -> None:
    handler.begin_chunks()
    handler.chunk(body[: len(body) // 3])
    handler.hang_up()


def within_a_chunk(handler: Handler, body: bytes) -> None:
    handler.begin_chunks()
    handler.wfile.write(b"%x\r\n%b" % (len(body), body[: len(body) // 2]))
    handler.hang_up()


def between_lines_and_cleanly(handler: Handler, body: bytes) -> None:
    handler.begin_chunks()
    handler.chunk(body[: body.index(b"\n", len(body) // 2) + 1])
    handler.chunk(b"")


def stopping(handler: Handler, _: bytes) -> None:
    handler.reply(503, b'{"error": "Error: stopping", "code": "service_unavailable"}')


CUTS: list[Cut] = [
    before_the_first_byte,
    within_the_head,
    behind_the_head,
    within_a_line,
    within_a_chunk,
    between_lines_and_cleanly,
    stopping,
]


def play(server: Server, cuts: list[Cut], journal: Journal = JOURNAL) -> None:
    """Answer each request for frames by the next cut, and wholly once there is none."""
    left = list(cuts)

    def answer(handler: Handler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        body = journal.body(int(query.get("after", ["0"])[0]))
        (left.pop(0) if left else whole)(handler, body)

    server.answers[f"GET /jobs/{ID}/output?*"] = answer


def check(client: Client) -> None:
    frames = list(client.follow(ID))
    for stream in ("stdout", "stderr"):
        assert b"".join(f.data for f in frames if f.stream == stream) == JOURNAL.of(stream)
    end = frames[-1]
    assert isinstance(end, End)
    assert (end.status, end.exit_code, end.cause) == ("Failed", 3, "exited")


@pytest.fixture
def told() -> list[Retry]:
    return []


@pytest.fixture
def client(profile: Profile, make_client: MakeClient, told: list[Retry]) -> Client:
    return make_client(profile, retry_policy=PATIENCE, on_retry=told.append)


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_loses_and_repeats_nothing(
    client: Client, server: Server, told: list[Retry], cut: Cut
) -> None:
    play(server, [cut])
    check(client)
    assert len(told) == 1


def test_cuts_in_any_order_lose_and_repeat_nothing(
    client: Client, server: Server, told: list[Retry]
) -> None:
    cuts = random.Random(1).choices([cut for cut in CUTS if cut is not stopping], k=40)
    play(server, cuts)
    check(client)
    assert len(told) > 10


def test_what_is_asked_for(client: Client, server: Server) -> None:
    play(server, [])
    list(client.follow(ID, after=4, tail=9, since="2026-01-01T00:00:00Z", streams=["stdout"]))
    (handler,) = server.seen
    assert handler.headers["Accept"] == "application/x-ndjson"
    assert parse_qs(urlsplit(handler.path).query) == {
        "follow": ["true"],
        "after": ["4"],
        "tail": ["9"],
        "since": ["2026-01-01T00:00:00Z"],
        "stream": ["stdout"],
    }


def test_a_connection_serves_on_behind_the_end(client: Client, server: Server) -> None:
    play(server, [])
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    check(client)
    client.whoami()
    check(client)
    assert server.connections == 1


def test_calls_are_possible_between_two_frames(client: Client, server: Server) -> None:
    play(server, [])
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    frames = client.follow(ID)
    next(frames)
    assert client.whoami()["name"] == "admin"
    assert b"".join(f.data for f in frames if f.stream == "stdout") == JOURNAL.of("stdout")[4:]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "bad_authentication", errors.BadAuthentication),
        (403, "unauthorized_action", errors.UnauthorizedAction),
        (404, "job_not_found", errors.JobNotFound),
    ],
)
def test_a_refusal_is_raised(
    client: Client, server: Server, status: int, code: str, kind: type[Exception]
) -> None:
    error: dict[str, Any] = {"error": "Error: no", "code": code}
    server.answers[f"GET /jobs/{ID}/output?*"] = (status, error)
    with pytest.raises(kind):
        next(client.follow(ID))
    assert len(server.seen) == 1


def test_a_server_that_was_never_there_is_not_waited_for(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        client.profile.server = f"https://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(errors.ServerUnreachable, match="connection refused"):
        next(client.follow(ID))


def test_exact_bytes_that_break_off_are_an_error(client: Client, server: Server) -> None:
    """But for a break before the first byte, of which nobody has to know."""
    attempts = iter([before_the_first_byte, within_a_chunk])
    server.answers[f"GET /jobs/{ID}/output/stdout"] = lambda handler: next(attempts)(
        handler, bytes(1000)
    )
    pieces = client.raw(ID, "stdout")
    assert next(pieces)
    with pytest.raises(errors.ServerUnreachable, match="lost the connection"):
        list(pieces)


def test_run_survives_each_step(client: Client, server: Server) -> None:
    ended = {"id": ID, "status": "Failed", "exitCode": 3, "reason": "exited with code 3"}
    data = bytes(100_000)
    steps: dict[str, list[Callable[[Handler], None]]] = {
        "POST /jobs/start": [lambda h: h.reply(201, b'{"id": "%b", "error": null}' % ID.encode())],
        f"GET /jobs/{ID}?*": [lambda h: h.reply(200, json.dumps(ended).encode())],
        f"GET /jobs/{ID}/output/stdout": [
            lambda h: within_a_chunk(h, data),
            lambda h: h.reply(200, data),
        ],
        f"GET /jobs/{ID}/output/stderr": [lambda h: h.reply(200, b"")],
    }
    for key, answers in steps.items():
        left = iter([Handler.hang_up, *answers])
        server.answers[key] = lambda handler, left=left: next(left)(handler)  # type: ignore[misc]
    finished = client.run("/bin/x")
    assert (finished.stdout, finished.stderr, finished.exit_code) == (data, b"", 3)
    keys = {h.headers["Idempotency-Key"] for h in server.seen if h.command == "POST"}
    assert len(keys) == 1
    with pytest.raises(errors.JobFailed, match="exited with code 3") as caught:
        finished.check()
    assert (caught.value.exit_code, caught.value.stdout) == (3, data)
