"""Beyond the core contract, over real TLS with real jobs: waiting, following, lists, hints."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from support.calls import Answer, Calls
from support.gate import Gate, opened
from support.jobd import Jobd
from support.waiting import until

PATIENCE = 30
"""Seconds after which a test gives up, on a machine that may be busy."""


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    for name in ("user1", "user2"):
        added = module_jobd.jobd("user", "add", name)
        assert added.returncode == 0, added.stderr
    return module_jobd


@pytest.fixture(scope="module")
def call(server: Jobd) -> Calls:
    return Calls.of(server, "user1")


@pytest.fixture
def gate(shared_dir: Path) -> Iterator[Gate]:
    made = Gate(shared_dir / "gate")
    with opened(made):
        yield made


def start(call: Calls, script: str, **more: object) -> str:
    request = {"program": "/bin/sh", "args": ["-c", script], **more}
    status, answer = call("POST", "/jobs/start", request)
    assert status == 201, answer
    return str(answer["id"])


def finish(call: Calls, job_id: str) -> dict[str, object]:
    """The job, once it has ended."""
    return call("GET", f"/jobs/{job_id}?wait={PATIENCE}")[1]


@contextmanager
def following(server: Jobd, path: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that is read while it comes."""
    host, port = server.listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=server.succeed("ca").strip())
    token = server.succeed("token", "print", user="user1").strip()
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        yield connection.getresponse()
    finally:
        connection.close()


def test_wait_answers_when_the_job_ends(call: Calls, gate: Gate) -> None:
    """Long before the time that was given is over."""
    job_id = start(call, f"read go < {gate}; exit 4")
    answers: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: answers.append(call("GET", f"/jobs/{job_id}?wait=300"))
    )
    waiting.start()
    assert call("GET", f"/jobs/{job_id}?wait=0.2")[1]["status"] == "Running"
    gate.open()
    waiting.join(PATIENCE)
    (answer,) = answers
    assert (answer[1]["status"], answer[1]["exitCode"]) == ("Failed", 4)


@pytest.mark.parametrize("wait", ["-1", "x", "301", "nan", "1e999", ""])
def test_a_wait_that_is_no_time_is_refused(call: Calls, wait: str) -> None:
    job_id = start(call, "true")
    status, answer = call("GET", f"/jobs/{job_id}?wait={wait}")
    assert (status, answer["field"]) == (400, "wait")
    finish(call, job_id)


def test_a_start_answers_when_the_job_ends(call: Calls) -> None:
    """In one round trip, with all that its status tells."""
    body = {"program": "/bin/sh", "args": ["-c", "exit 4"]}
    status, answer = call("POST", "/jobs/start?wait=300", body)
    assert status == 201
    assert (answer["status"], answer["exitCode"]) == ("Failed", 4)
    assert answer == call("GET", f"/jobs/{answer['id']}")[1]


def test_a_start_answers_before_the_job_ends_where_that_is_late(call: Calls, gate: Gate) -> None:
    body = {"program": "/bin/sh", "args": ["-c", f"read go < {gate}"]}
    status, answer = call("POST", "/jobs/start?wait=0.2", body)
    assert (status, answer["status"], answer["exitCode"]) == (201, "Running", None)
    gate.open()
    assert finish(call, str(answer["id"]))["status"] == "Completed"


def test_a_client_that_hangs_up_does_not_stop_the_job_that_it_waits_for(
    server: Jobd, call: Calls, gate: Gate
) -> None:
    script = f"read go < {gate}; exit 5"
    body = json.dumps({"program": "/bin/sh", "args": ["-c", script], "name": "hung-up"})
    head = call.headers | {"Content-Type": "application/json"}
    with closing(call.connect()) as connection:
        connection.request("POST", "/jobs/start?wait=300", body, head)
        until(lambda: call("GET", "/jobs?name=hung-up&status=Running")[1]["jobs"])
    until(lambda: '"status": 499' in server.log.read_text())
    gate.open()
    (job,) = call("GET", "/jobs?name=hung-up")[1]["jobs"]
    assert finish(call, job["id"])["exitCode"] == 5


@pytest.mark.parametrize("wait", ["-1", "x", "301", "nan", "1e999", "9" * 4000, "%00", ""])
def test_a_start_with_a_wait_that_is_no_time_starts_nothing(call: Calls, wait: str) -> None:
    body = {"program": "/bin/true", "name": "no-time"}
    status, answer = call("POST", f"/jobs/start?wait={wait}", body)
    assert (status, answer["field"]) == (400, "wait")
    assert call("GET", "/jobs?name=no-time")[1]["jobs"] == []


def test_following_shows_each_piece_as_it_comes(server: Jobd, call: Calls, gate: Gate) -> None:
    """From the first byte to the end of the job, and not beyond the stream asked for."""
    script = f"echo one; echo aside >&2; read go < {gate}; echo two; read go < {gate}"
    job_id = start(call, script)
    with following(server, f"/jobs/{job_id}/output/stdout?follow=true") as answer:
        assert answer.status == 200
        assert answer.read(4) == b"one\n"
        gate.open()
        assert answer.read(4) == b"two\n"
        assert call("GET", f"/jobs/{job_id}")[1]["status"] == "Running"
        gate.open()
        assert answer.read() == b""
    assert finish(call, job_id)["status"] == "Completed"
    with following(server, f"/jobs/{job_id}/output/stdout?follow=true&offset=2") as answer:
        assert answer.read() == b"e\ntwo\n"


def test_a_follower_is_let_go_when_the_job_is_stopped(server: Jobd, call: Calls) -> None:
    job_id = start(call, "echo on; exec sleep 1000")
    with following(server, f"/jobs/{job_id}/output/stdout?follow=true") as answer:
        assert answer.read(3) == b"on\n"
        assert call("POST", f"/jobs/{job_id}/stop")[0] == 200
        assert answer.read() == b""


@pytest.mark.parametrize(
    ("wanted", "status", "got", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=3-5", 206, b"345", "bytes 3-5/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-4", 206, b"6789", "bytes 6-9/10"),
        ("bytes=-400", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-400", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-3", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
    ],
)
def test_ranges_as_in_rfc_9110(
    call: Calls, ten_bytes: str, wanted: str, status: int, got: bytes | None,
    content_range: str | None,
) -> None:  # fmt: skip
    answer = call.raw("GET", f"/jobs/{ten_bytes}/output/stdout", Range=wanted)
    assert (answer[0], answer[1].get("content-range")) == (status, content_range)
    assert got is None or answer[2] == got


@pytest.fixture(scope="module")
def ten_bytes(call: Calls) -> str:
    job_id = start(call, "printf 0123456789")
    finish(call, job_id)
    return job_id


def test_a_range_of_what_a_running_job_has_written(server: Jobd, call: Calls, gate: Gate) -> None:
    job_id = start(call, f"printf 01234; read go < {gate}; printf 56789")
    path = f"/jobs/{job_id}/output/stdout"
    with following(server, f"{path}?follow=true") as answer:
        assert answer.read(5) == b"01234"
        status, headers, data = call.raw("GET", path, Range="bytes=3-8")
        assert (status, data, headers["content-range"]) == (206, b"34", "bytes 3-4/5")
        gate.open()
        assert answer.read() == b"56789"
    finish(call, job_id)
    assert call.raw("GET", path, Range="bytes=3-8")[2] == b"345678"


def test_each_filter_of_a_list(call: Calls) -> None:
    """Each condition keeps the one job that it is about out of three."""
    good = start(call, "exit 0", name="filtered good", labels={"team": "web", "a=b": "c d&e"})
    bad = start(call, "exit 1", name="filtered bad", labels={"team": "mail"})
    for job_id in (good, bad):
        finish(call, job_id)
    created = call("GET", f"/jobs/{bad}")[1]["createdAt"]
    for condition, expected in {
        f"name={quote('filtered good')}": [good],
        "label=team%3Dmail": [bad],
        f"label={quote('a=b=c d&e')}&label=team%3Dweb": [],
        f"status=Failed&since={quote(created)}": [bad],
        f"label=team%3Dweb&until={quote(created)}": [good],
        f"since={quote(created)}": [bad],
        f"idPrefix={good[:13]}": [good],
        "program=/bin/none": [],
        "owner=user1&label=team%3Dweb&status=Completed": [good],
        "label=team%3Dweb&status=Stopped": [],
    }.items():
        status, answer = call("GET", f"/jobs?{condition}")
        assert (status, [job["id"] for job in answer["jobs"]]) == (200, expected), condition


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=running", "status"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("since=yesterday", "since"),
        ("since=2026-01-31T12:00:00", "since"),
        ("label=x", "label"),
        ("cursor=x", "cursor"),
        ("colour=red", "colour"),
    ],
)
def test_a_list_names_the_parameter_that_is_wrong(call: Calls, query: str, field: str) -> None:
    status, answer = call("GET", f"/jobs?{query}")
    assert (status, answer["code"], answer["field"]) == (400, "invalid_request", field)


def test_pages_neither_repeat_nor_miss_while_jobs_come(call: Calls) -> None:
    """What is started between two pages is newer than both."""
    ids = [start(call, "true", labels={"paged": "yes"}) for _ in range(5)]
    first = call("GET", "/jobs?label=paged%3Dyes&limit=2")[1]
    late = start(call, "true", labels={"paged": "yes"})
    rest = call("GET", f"/jobs?label=paged%3Dyes&limit=100&cursor={quote(first['next'])}")[1]
    assert rest["next"] is None
    seen = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert seen == ids[::-1]
    for job_id in (*ids, late):
        finish(call, job_id)


def test_a_cursor_shows_nobody_elses_jobs(server: Jobd, call: Calls) -> None:
    for _ in range(2):
        finish(call, start(call, "true"))
    cursor = call("GET", "/jobs?limit=1")[1]["next"]
    answer = Calls.of(server, "user2")("GET", f"/jobs?cursor={quote(cursor)}")
    assert answer == (200, {"jobs": [], "next": None, "error": None})


@pytest.mark.root
def test_what_a_job_will_not_see_is_said_in_words(call: Calls, tmp_path: Path) -> None:
    """By the refusal, by the start, and by the reason of its failure; ``tmp_path`` is in /tmp."""
    data = tmp_path / "data.csv"
    data.write_text("x")
    hint = f"jobs have their own /tmp, so the machine's {data} is not there for them"
    status, refused = call("POST", "/jobs/start", {"program": str(data)})
    assert (status, refused["error"]) == (404, "Error: program not found")
    assert refused["hint"].startswith(hint)
    for argument in (str(data), f"--input={data}"):
        status, started = call("POST", "/jobs/start", {"program": "/bin/cat", "args": [argument]})
        assert status == 201
        assert started["hint"].startswith(hint)
        reason = finish(call, started["id"])["reason"]
        assert str(reason).startswith(f"exited with code 1 ({hint}")


@pytest.mark.root
def test_a_closed_directory_is_named_but_not_what_is_in_it(call: Calls, shared_dir: Path) -> None:
    closed = shared_dir / "closed"
    closed.mkdir(mode=0o700)
    (closed / "there").write_text("x")
    for name in ("there", "absent"):
        body = {"program": "/bin/cat", "args": [str(closed / name)]}
        hint = str(call("POST", "/jobs/start", body)[1]["hint"])
        assert f"who may not enter {closed};" in hint
        assert name not in hint


def test_a_success_needs_no_hint(call: Calls, ten_bytes: str) -> None:
    assert "hint" not in call("POST", "/jobs/start", {"program": "/bin/true"})[1]
    assert call("GET", f"/jobs/{ten_bytes}")[1]["reason"] is None


def newest(call: Calls) -> list[str]:
    """The ID of the job that came last, if there is one; it may be running yet."""
    return [job["id"] for job in call("GET", "/jobs?limit=1")[1]["jobs"]]


def test_t49_why_a_program_cannot_be_executed(call: Calls, shared_dir: Path) -> None:
    """Each in words of its own, and no job is left of it."""
    for name, mode, text in (
        ("plain", 0o644, "#!/bin/sh\n"),
        ("script", 0o755, "#!/no/such/interpreter\n"),
        ("noise", 0o755, "\x7fELF but no more\n"),
    ):
        file = shared_dir / name
        file.write_text(text)
        file.chmod(mode)
    before = newest(call)
    for program, expected in {
        "/etc": "it is a directory",
        str(shared_dir / "plain"): "permission denied",
        str(shared_dir / "script"): "the interpreter that it names in its first line was not found",
        str(shared_dir / "noise"): (
            "it is neither a program for this machine nor a script with a first line like #!/bin/sh"
        ),
    }.items():
        status, answer = call("POST", "/jobs/start", {"program": program})
        assert (status, answer["error"]) == (422, f"Error: program cannot be executed: {expected}")
    for program in (str(shared_dir / "absent"), f"{shared_dir}/plain/below", "/" + "x" * 300):
        status, answer = call("POST", "/jobs/start", {"program": program})
        assert (status, answer["error"]) == (404, "Error: program not found"), program
    assert newest(call) == before


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content_Type": "text/plain"}, b'{"program": "/bin/true"}', 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, b"program=/bin/true", 415),
        ({}, b'{"program": "/bin/true"', 400),
        ({}, b'{"program": "/bin/true", "program": "/bin/false"}', 400),
        ({}, b'{"program": "/bin/\xff"}', 400),
        ({}, b"[" * 100_000, 400),
        ({}, b'{"program": "/bin/true", "args": ["' + b"x" * (30 * 1024 * 1024) + b'"]}', 413),
    ],
    ids=["text", "form", "half", "twice", "not utf-8", "deep", "30 MiB"],
)
def test_a_body_that_is_no_request(
    call: Calls, headers: dict[str, str], body: bytes, status: int
) -> None:
    before = newest(call)
    try:
        got, _, data = call.raw("POST", "/jobs/start", body, **headers)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        assert status == 413  # it may hang up on what it will not read
    else:
        assert got == status
        assert data.startswith(b'{"error":"Error: ')
    assert newest(call) == before
