"""The core contract to the letter: every row, every role, over real TLS with real jobs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.adoption import everything_below
from support.calls import Calls
from support.jobd import Jobd
from support.waiting import until

ID = re.compile(r"j-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNKNOWN = "j-00000000-0000-4000-8000-000000000000"

BAD = {"error": "Error: bad authentication", "code": "bad_authentication"}
FORBIDDEN = {"error": "Error: unauthorized action", "code": "unauthorized_action"}
NO_JOB = {"error": "Error: job not found", "code": "job_not_found"}
NO_PROGRAM = {"error": "Error: program not found", "code": "program_not_found"}
ENDED = {"error": "Error: job not running", "code": "job_not_running"}


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    for name in ("user1", "user2"):
        added = module_jobd.jobd("user", "add", name)
        assert added.returncode == 0, added.stderr
    return module_jobd


@pytest.fixture(scope="module")
def calls(server: Jobd) -> dict[str, Calls]:
    """A caller for each role."""
    known = {name: Calls.of(server, name) for name in ("admin", "user1", "user2")}
    return known | {"nobody": Calls(server, None), "liar": Calls(server, "jw_x_y")}


@pytest.fixture
def sleeping(server: Jobd, calls: dict[str, Calls]) -> Iterator[str]:
    """A running job of user1's."""
    job_id = server.start_job("/bin/sleep", "1000", user="user1")
    yield job_id
    calls["admin"]("POST", f"/jobs/{job_id}/stop")


@pytest.fixture(scope="module")
def ended(server: Jobd) -> str:
    """An ended job of user1's, with output."""
    job_id = server.start_job("/bin/sh", "-c", "echo one; echo; printf two; echo e >&2; exit 3",
                              user="user1")  # fmt: skip
    server.jobctl("wait", job_id)
    return job_id


ROUTES = [
    ("POST", "/jobs/start"),
    ("POST", "/jobs/{id}/stop"),
    ("GET", "/jobs/{id}"),
    ("GET", "/jobs/{id}/output"),
    ("GET", "/jobs/{id}/output/stdout"),
    ("GET", "/jobs/{id}/output/stderr"),
    ("DELETE", "/jobs/{id}"),
    ("GET", "/jobs"),
    ("GET", "/me"),
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("caller", ["nobody", "liar"])
def test_401_without_a_good_token(
    calls: dict[str, Calls], ended: str, route: tuple[str, str], caller: str
) -> None:
    method, path = route
    assert calls[caller](method, path.replace("{id}", ended)) == (401, BAD)


@pytest.mark.parametrize("route", [route for route in ROUTES if "{id}" in route[1]])
@pytest.mark.parametrize(
    ("caller", "job", "expected"),
    [
        ("user2", "ended", (403, FORBIDDEN)),
        ("user2", UNKNOWN, (404, NO_JOB)),
        ("admin", UNKNOWN, (404, NO_JOB)),
        ("user1", "../x", (404, None)),
        ("user1", UNKNOWN.upper(), (404, NO_JOB)),
        ("user1", "x" * 3000, (404, NO_JOB)),
        ("user1", "%2e%2e", (404, None)),
        ("user1", "j-%00", (404, NO_JOB)),
    ],
)
def test_403_and_404_on_every_route_of_a_job(
    calls: dict[str, Calls],
    ended: str,
    route: tuple[str, str],
    caller: str,
    job: str,
    expected: tuple[int, dict[str, Any] | None],
) -> None:
    method, path = route
    status, body = calls[caller](method, path.replace("{id}", ended if job == "ended" else job))
    assert status == expected[0]
    assert expected[1] in (None, body)
    assert body["error"].startswith("Error: ")


@pytest.mark.parametrize("caller", ["user1", "admin"])
def test_a_job_from_start_to_stop(calls: dict[str, Calls], caller: str) -> None:
    call = calls[caller]
    status, started = call("POST", "/jobs/start", {"program": "/bin/sleep", "args": [1000]})
    job_id = started["id"]
    assert (status, started) == (201, {"id": job_id, "error": None})
    assert ID.fullmatch(job_id)
    status, job = call("GET", f"/jobs/{job_id}")
    assert status == 200
    expected = {"id": job_id, "status": "Running", "exitCode": None, "error": None,
                "owner": caller, "args": ["1000"], "reason": None}  # fmt: skip
    assert job | expected == job
    assert Path(f"/proc/{job['pid']}").exists()
    assert call("POST", f"/jobs/{job_id}/stop") == (200, {"id": job_id, "error": None})
    assert not Path(f"/proc/{job['pid']}").exists()
    status, job = call("GET", f"/jobs/{job_id}")
    expected = {"status": "Stopped", "exitCode": None, "signal": "SIGKILL", "error": None,
                "reason": f"stopped by {caller}", "cause": "stopped", "pid": None}  # fmt: skip
    assert job | expected == job
    assert call("POST", f"/jobs/{job_id}/stop") == (409, ENDED)


def test_an_admin_operates_on_any_job(calls: dict[str, Calls], sleeping: str) -> None:
    assert calls["user2"]("POST", f"/jobs/{sleeping}/stop") == (403, FORBIDDEN)
    assert calls["admin"]("GET", f"/jobs/{sleeping}")[1]["status"] == "Running"
    assert calls["admin"]("POST", f"/jobs/{sleeping}/stop")[0] == 200
    assert calls["user1"]("GET", f"/jobs/{sleeping}")[1]["reason"] == "stopped by admin"


def test_output_by_lines(calls: dict[str, Calls], ended: str) -> None:
    expected = {"id": ended, "stdout": ["one", "", "two"], "stderr": ["e"], "error": None}
    for caller in ("user1", "admin"):
        assert calls[caller]("GET", f"/jobs/{ended}/output") == (200, expected)


def test_output_byte_for_byte(calls: dict[str, Calls], ended: str) -> None:
    path = f"/jobs/{ended}/output/stdout"
    status, headers, data = calls["user1"].raw("GET", path)
    assert (status, data) == (200, b"one\n\ntwo")
    assert headers["content-type"] == "application/octet-stream"
    status, headers, data = calls["user1"].raw("GET", path, Range="bytes=4-6")
    assert (status, data, headers["content-range"]) == (206, b"\ntw", "bytes 4-6/8")
    assert calls["user1"].raw("GET", path, Range="bytes=8-")[0] == 416
    assert calls["user1"].raw("GET", f"{path}?follow=true")[2] == b"one\n\ntwo"


@pytest.mark.parametrize(
    ("request_body", "status", "answer"),
    [
        ({"program": "/bin/none"}, 404, NO_PROGRAM),
        ({"program": "/etc"}, 422, {"code": "program_not_executable"}),
        ({"program": "/etc/passwd"}, 422, {"code": "program_not_executable"}),
        ({"program": "sleep"}, 400, {"field": "program"}),
        ({"program": ""}, 400, {"field": "program"}),
        ({"program": "/bin/x\0y"}, 400, {"field": "program"}),
        ({"program": 5}, 400, {"field": "program"}),
        ({"args": []}, 400, {"field": "program"}),
        ({"program": "/bin/true", "args": "x"}, 400, {"field": "args"}),
        ({"program": "/bin/true", "args": [True]}, 400, {"field": "args[0]"}),
        ({"program": "/bin/true", "args": ["ok", None]}, 400, {"field": "args[1]"}),
        ({"program": "/bin/true", "args": ["a\0b"]}, 400, {"field": "args[0]"}),
        ({"program": "/bin/true", "args": ["\ud800"]}, 400, {}),
        ({"program": "/bin/true", "args": ["x" * 131_072]}, 400, {"field": "args[0]"}),
        ({"program": "/bin/true", "args": ["x" * 100_000] * 30}, 400, {"field": "args"}),
        ({"program": "/bin/true", "env": {"A=B": "x"}}, 400, {}),
        ({"program": "/bin/true", "cwd": "x"}, 400, {"field": "cwd"}),
        ({"program": "/bin/true", "cwd": "/none"}, 400, {"field": "cwd"}),
        ({"program": "/bin/true", "colour": "red"}, 400, {"field": "colour"}),
        ([], 400, {}),
    ],
)
def test_a_refused_start_names_the_field_and_leaves_nothing(
    server: Jobd,
    calls: dict[str, Calls],
    request_body: object,
    status: int,
    answer: dict[str, Any],
) -> None:
    before = calls["admin"]("GET", "/jobs?limit=1")[1]["jobs"]
    directories, processes = spool(server), set(everything_below())
    got, body = calls["user1"]("POST", "/jobs/start", request_body or [0])
    assert (got, body | answer) == (status, body)
    assert body["error"].startswith("Error: ")
    assert calls["admin"]("GET", "/jobs?limit=1")[1]["jobs"] == before
    until(lambda: spool(server) <= directories)
    until(lambda: set(everything_below()) <= processes)


def spool(server: Jobd) -> set[str]:
    return set(os.listdir(server.state / "spool"))  # noqa: PTH208 - names are wanted


def test_numbers_raw_bytes_and_no_arguments(calls: dict[str, Calls]) -> None:
    raw = {"base64": "/w=="}
    for args, line in (([5, 1.5, "x", raw], "5 1.5 x \ufffd"), ([], ""), (None, "")):
        body = {"program": "/bin/echo"} | ({"args": args} if args is not None else {})
        job_id = calls["user1"]("POST", "/jobs/start", body)[1]["id"]
        assert calls["user1"]("GET", f"/jobs/{job_id}?wait=30")[1]["status"] == "Completed"
        assert calls["user1"]("GET", f"/jobs/{job_id}/output")[1]["stdout"] == [line]
    first = calls["user1"]("GET", f"/jobs/{job_id}")[1]
    assert first["args"] == []


def test_wait_answers_at_the_end_or_in_time(calls: dict[str, Calls], sleeping: str) -> None:
    assert calls["user1"]("GET", f"/jobs/{sleeping}?wait=0.1")[1]["status"] == "Running"
    assert calls["user1"]("GET", f"/jobs/{sleeping}?wait=x")[0] == 400


def test_delete(calls: dict[str, Calls], server: Jobd, sleeping: str) -> None:
    assert calls["user1"]("DELETE", f"/jobs/{sleeping}")[0] == 409
    job_id = server.start_job("/bin/true", user="user1")
    server.jobctl("wait", job_id)
    assert calls["user2"]("DELETE", f"/jobs/{job_id}") == (403, FORBIDDEN)
    assert calls["user1"]("DELETE", f"/jobs/{job_id}")[0] == 200
    assert calls["user1"]("GET", f"/jobs/{job_id}") == (404, NO_JOB)


def test_a_list_pages_and_filters(calls: dict[str, Calls], server: Jobd) -> None:
    ids = [
        server.succeed("start", "-q", "--label", "batch=7", "--name", f"n{n}", "--", "/bin/true",
                       user="user2").strip()
        for n in range(5)
    ]  # fmt: skip
    for job_id in ids:
        server.jobctl("wait", job_id)
    seen: list[str] = []
    cursor = ""
    while True:
        page = calls["user2"]("GET", f"/jobs?label=batch%3D7&limit=2{cursor}")[1]
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]
    by_name = calls["user2"]("GET", "/jobs?name=n3&status=Completed&program=/bin/true")[1]["jobs"]
    assert ids[3] in [job["id"] for job in by_name]
    assert all(job["owner"] == "user2" for job in calls["user2"]("GET", "/jobs")[1]["jobs"])
    assert calls["user2"]("GET", "/jobs?owner=user1") == (403, FORBIDDEN)
    assert calls["admin"]("GET", "/jobs?owner=user1")[0] == 200
    assert calls["user2"]("GET", "/jobs?cursor=x")[1]["field"] == "cursor"
    assert calls["user2"]("GET", "/jobs?colour=red")[0] == 400


def lines_of(server: Jobd, *args: str, user: str | None = None) -> tuple[int, str, str]:
    done = server.jobctl(*args, user=user)
    return done.returncode, done.stdout, done.stderr


def test_the_lines_of_jobctl(server: Jobd) -> None:
    code, out, err = lines_of(server, "start", "--", "/bin/sleep", "1000")
    assert (code, err) == (0, "")
    match = re.fullmatch(rf"Job started with ID ({ID.pattern})\.\n", out)
    assert match
    job_id = match[1]
    running = f"ID: {job_id}\nStatus: Running\nExit code: n/a\n"
    assert lines_of(server, "status", job_id) == (0, running, "")
    assert lines_of(server, "stop", job_id) == (0, f"Job with ID {job_id} stopped.\n", "")
    stopped = f"ID: {job_id}\nStatus: Stopped\nExit code: n/a\nReason: stopped by admin\n"
    assert lines_of(server, "status", job_id) == (0, stopped, "")
    assert lines_of(server, "stop", job_id) == (1, "", "Error: job not running\n")
    echo = server.start_job("/bin/echo", "hello world")
    server.jobctl("wait", echo)
    assert lines_of(server, "output", echo) == (0, "Output:\nhello world\n", "")
    done = f"ID: {echo}\nStatus: Completed\nExit code: 0\n"
    assert lines_of(server, "status", echo) == (0, done, "")


@pytest.mark.parametrize(
    "words",
    [
        ("-u", "user2", "status", "{id}"),
        ("status", "-u", "user2", "{id}"),
        ("status", "{id}", "--user", "user2"),
    ],
)
def test_the_user_before_or_after_the_verb(
    server: Jobd, ended: str, words: tuple[str, ...]
) -> None:
    words = tuple(word.replace("{id}", ended) for word in words)
    assert lines_of(server, *words) == (1, "", "Error: unauthorized action\n")


@pytest.mark.parametrize(
    "words",
    [
        ("start", "--", "sleep", "5"),
        ("start",),
        ("start", "--"),
        ("start", "--colour", "--", "/bin/true"),
        ("status",),
        ("status", "nonsense"),
        ("status", UNKNOWN.upper()),
        ("stop", "../x"),
        ("stop", UNKNOWN, "--grace", "soon"),
        ("dance",),
        (),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(server: Jobd, words: tuple[str, ...]) -> None:
    code, out, err = lines_of(server, *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("jobctl: ")


def test_refusals_by_the_server(server: Jobd) -> None:
    assert lines_of(server, "status", UNKNOWN) == (1, "", "Error: job not found\n")
    assert lines_of(server, "start", "--", "/bin/none") == (1, "", "Error: program not found\n")


def test_json_and_quiet(server: Jobd, ended: str) -> None:
    job = json.loads(server.succeed("status", "--json", ended))
    assert (job["id"], job["exitCode"], job["reason"]) == (ended, 3, "exited with code 3")
    assert server.succeed("status", "-q", ended) == f"{ended}\n"
    assert ended in server.succeed("list", "-q", "--all").split()
    assert json.loads(server.succeed("list", "--json"))["jobs"]


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_run_is_the_program_as_if_it_ran_here(server: Jobd, script: str, code: int) -> None:
    whole = rf"printf 'o\377'; echo e >&2; {script}"
    done = server.jobctl_bytes("run", "--", "/bin/sh", "-c", whole)
    assert (done.returncode, done.stdout) == (code, b"o\xff")
    assert done.stderr.startswith(b"e\n")


def test_run_tells_its_own_failures_apart(server: Jobd) -> None:
    assert server.jobctl("run", "--", "/bin/none").returncode == 127
    assert server.jobctl("run", "--", "/etc/passwd").returncode == 126
    stopped = server.start_job("/bin/sleep", "1000")
    server.succeed("stop", stopped)
    assert server.jobctl("wait", stopped).returncode == 137


def test_rm(server: Jobd) -> None:
    job_id = server.start_job("/bin/true")
    server.jobctl("wait", job_id)
    server.succeed("rm", job_id)
    assert lines_of(server, "status", job_id) == (1, "", "Error: job not found\n")


@pytest.mark.root
def test_a_file_in_the_machines_tmp_is_explained(server: Jobd, tmp_path: Path) -> None:
    """``tmp_path`` lies under /tmp, which the job does not see."""
    data = tmp_path / "data.csv"
    data.write_text("x")
    code, out, err = lines_of(server, "start", "--json", "--", str(data))
    assert (code, err) == (1, "Error: program not found\n")
    assert json.loads(out)["hint"].startswith("jobs have their own /tmp")
    code, out, err = lines_of(server, "start", "--json", "--", "/bin/cat", str(data))
    assert (code, err) == (0, "")
    assert json.loads(out)["hint"].startswith("jobs have their own /tmp")
    done = server.jobctl("wait", json.loads(out)["id"])
    assert "Reason: exited with code 1 (jobs have their own /tmp" in done.stdout
    code, out, _ = lines_of(server, "start", "--json", "--", "/root/x")
    assert "may not enter /root" in json.loads(out)["hint"]
