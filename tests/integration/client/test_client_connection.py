"""Whom the client trusts (T46), what it sends, and what it makes of answers."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobworker import errors
from jobworker.client import Client, RetryPolicy
from jobworker.client.profiles import Profile
from support.both_clients import MakeClient
from support.small_server import ID, Authority, Handler, Server

Serve = Callable[[ssl.SSLContext | None], Server]


@pytest.fixture
def client(profile: Profile, make_client: MakeClient) -> Client:
    return make_client(profile, retry_policy=RetryPolicy(calls=0))


def refused(client: Client) -> str:
    """Try to call the server, and return message and hint of the refusal."""
    profile = client.profile
    with pytest.raises(errors.ServerUnreachable) as caught:
        client.whoami()
    assert profile.server in str(caught.value)
    assert profile.token not in f"{caught.value} {caught.value.hint}"
    return f"{caught.value}; {caught.value.hint}"


def test_a_call_carries_the_token_over_tls_13(client: Client, server: Server) -> None:
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    assert client.whoami()["role"] == "admin"
    handler = server.seen[0]
    assert handler.headers["Authorization"] == f"Bearer {client.profile.token}"
    assert handler.request.version() == "TLSv1.3"


def test_calls_share_one_connection(client: Client, server: Server) -> None:
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    for _ in range(3):
        client.whoami()
    assert server.connections == 1


def test_a_server_that_hung_up_meanwhile_is_called_again(client: Client, server: Server) -> None:
    """No request is sent into a connection that is known to be dead, so none is repeated."""

    def answer_once(handler: Handler) -> None:
        handler.reply(200, b'{"id": "x", "error": null}')
        handler.close_connection = True

    server.answers["POST /jobs/start"] = answer_once
    client.start("/bin/true")
    server.wait_for_close()
    client.start("/bin/true")
    assert server.connections == 2
    assert len(server.seen) == 2


def test_what_nobody_asked_for_is_no_answer_to_the_next_call(
    client: Client, server: Server
) -> None:
    """A connection on which more has come than one answer serves no other call."""
    me = b'{"name": "%b", "role": "user", "error": null}'

    def answer_twice(handler: Handler) -> None:
        stray = me % b"eve"
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        body = me % b"alice"
        handler.wfile.write(head % len(body) + body + head % len(stray) + stray)

    server.answers["GET /me"] = answer_twice
    assert [client.whoami()["name"] for _ in range(3)] == ["alice"] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"host": "192.0.2.1"}, "its certificate is for another name"),
        ({"host": "localhost"}, "its certificate is for another name"),
        ({"begins": -3, "ends": -1}, "its certificate has expired"),
        ({"begins": 1, "ends": 2}, "its certificate is not yet valid"),
    ],
)
def test_a_wrong_certificate_ends_it_before_the_token(
    serve: Serve, authority: Authority, client: Client, wrong: dict[str, Any], says: str
) -> None:
    server = serve(authority.context(**wrong))
    client.profile.server = server.url
    assert says in refused(client)
    assert server.seen == []


def test_another_ca_ends_it_before_the_token(
    serve: Serve, authority: Authority, client: Client, tmp_path: Path
) -> None:
    directory = tmp_path / "theirs"
    other = replace(authority, directory=directory, key=type(authority)(directory).key)
    server = serve(other.context())
    client.profile.server = server.url
    assert f"does not come from the CA of profile 'admin', {client.profile.ca}" in refused(client)
    assert server.seen == []


def test_the_systems_trust_does_not_count(
    serve: Serve,
    authority: Authority,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where OpenSSL's own variables name the CA that signed."""
    other = type(authority)(tmp_path / "theirs")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.path))
    client.profile.server = serve(other.context()).url
    assert "does not come from the CA" in refused(client)


def test_no_session_secret_is_written(
    client: Client, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    client.whoami()
    assert not (tmp_path / "keys").exists()


def test_tls_12_is_not_spoken(serve: Serve, authority: Authority, client: Client) -> None:
    context = authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.profile.server = serve(context).url
    assert "does not speak TLS 1.3" in refused(client)


def test_plain_http_is_not_spoken(serve: Serve, client: Client) -> None:
    server = serve(None)
    client.profile.server = server.url
    assert "does not speak TLS 1.3" in refused(client)
    assert server.seen == []


def test_nobody_listens(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        client.profile.server = f"https://127.0.0.1:{taken.getsockname()[1]}"
    assert "connection refused; check that jobd is running" in refused(client)


def test_who_never_shakes_hands_is_given_up(profile: Profile, make_client: MakeClient) -> None:
    """And leaves no socket behind, which every test is checked for."""
    client = make_client(profile, retry_policy=RetryPolicy(connect=0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        profile.server = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert "it did not answer in time" in refused(client)


def test_a_name_that_nobody_has(client: Client) -> None:
    client.profile.server = "https://no-such-host.invalid:1"
    assert "its name cannot be resolved" in refused(client)


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_an_unusable_ca_is_named(client: Client, tmp_path: Path, content: str | None) -> None:
    client.profile.ca = path = str(tmp_path / "missing.pem")
    if content:
        Path(path).write_text(content)
    with pytest.raises(errors.ConfigurationInvalid, match=re.escape(path)):
        client.whoami()


@pytest.mark.parametrize("url", ["https://", "https://h:x", "https://h/path", "https://u@h:1"])
def test_an_address_that_is_none(client: Client, url: str) -> None:
    client.profile.server = url
    with pytest.raises(errors.ConfigurationInvalid, match="must be"):
        client.whoami()


def test_an_error_answer_is_raised_as_its_class(client: Client, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (
        404,
        {"error": "Error: job not found", "code": "job_not_found", "hint": "look", "field": "id"},
    )
    with pytest.raises(errors.JobNotFound, match=r"^job not found$") as caught:
        client.status(ID)
    assert (caught.value.hint, caught.value.field) == ("look", "id")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"\xff"])
def test_an_error_that_is_not_jobds_says_so(client: Client, server: Server, body: bytes) -> None:
    server.answers["GET /me"] = lambda handler: handler.reply(502, body)
    with pytest.raises(errors.JobWorkerError, match="answered 502 Bad Gateway, but not"):
        client.whoami()


@pytest.mark.parametrize("verb", ["call", "stream"])
def test_nobody_is_sent_on(client: Client, server: Server, verb: str) -> None:
    """A redirection would take the token elsewhere."""

    def elsewhere(handler: Handler) -> None:
        handler.reply(302, b"", {"Location": "https://127.0.0.1:1/"})

    server.answers[f"GET /jobs/{ID}"] = server.answers[f"GET /jobs/{ID}/output?*"] = elsewhere
    with pytest.raises(errors.JobWorkerError, match="answered 302 Found, but not"):
        client.status(ID) if verb == "call" else list(client.follow(ID))


def test_a_connection_lost_in_an_answer_says_so(client: Client, server: Server) -> None:
    def break_off(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.close_connection = True

    server.answers["GET /me"] = break_off
    with pytest.raises(errors.ServerUnreachable, match="lost the connection"):
        client.whoami()
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    assert client.whoami()["name"] == "admin"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_that_breaks_off_is_not_taken_for_whole(
    client: Client, server: Server, *, chunked: bool
) -> None:
    def break_off(handler: Handler) -> None:
        if chunked:
            handler.begin_chunks()
            handler.chunk(b"some")
        else:
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"some")
        handler.close_connection = True

    server.answers[f"GET /jobs/{ID}/output/stdout"] = break_off
    pieces = client.raw(ID, "stdout")
    assert next(pieces) == b"some"
    with pytest.raises(errors.ServerUnreachable, match="lost the connection"):
        next(pieces)


def test_a_stream_that_is_left_does_not_disturb_the_next_call(
    client: Client, server: Server
) -> None:
    data = bytes(300_000)
    server.answers[f"GET /jobs/{ID}/output/stdout"] = lambda handler: handler.reply(200, data)
    server.answers["GET /me"] = (200, {"name": "admin", "role": "admin", "error": None})
    pieces = client.raw(ID, "stdout")
    next(pieces)
    pieces.close()
    assert client.whoami()["name"] == "admin"
    assert b"".join(client.raw(ID, "stdout")) == data


def test_arguments_arrive_as_they_are(client: Client, server: Server) -> None:
    """T50: text, numbers, and what is not UTF-8."""
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    client.start("/bin/echo", "ä", 5, 0.5, b"\xff\x00", "a\udcffb", env={"A": "1"}, cwd="/")
    assert json.loads(server.seen[0].body) == {
        "program": "/bin/echo",
        "args": ["ä", 5, 0.5, {"base64": "/wA="}, {"base64": "Yf9i"}],
        "env": {"A": "1"},
        "cwd": "/",
    }
    assert server.seen[0].headers["Content-Type"] == "application/json"


def test_waiting_asks_again_until_the_end(client: Client, server: Server) -> None:
    answers = iter(["Running", "Running", "Completed"])

    def answer(handler: Handler) -> None:
        handler.reply(200, json.dumps({"id": ID, "status": next(answers)}).encode())

    server.answers[f"GET /jobs/{ID}?wait=60.000"] = answer
    assert client.wait(ID)["status"] == "Completed"
    assert len(server.seen) == 3


def test_waiting_no_longer_than_asked(client: Client, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}?wait=0.000"] = (200, {"id": ID, "status": "Running"})
    assert client.wait(ID, 0)["status"] == "Running"


def test_the_library_runs_a_program(client: Client, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    ended = {"id": ID, "status": "Completed", "exitCode": 0}
    server.answers[f"GET /jobs/{ID}?wait=60.000"] = (200, ended)
    for stream in ("stdout", "stderr"):
        server.answers[f"GET /jobs/{ID}/output/{stream}"] = lambda handler: handler.reply(
            200, handler.path[-6:].encode()
        )
    finished = client.run("/bin/echo", "hello")
    assert (finished.stdout, finished.stderr, finished.exit_code) == (b"stdout", b"stderr", 0)
