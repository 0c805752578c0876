"""``jobctl`` as a process, against a real HTTPS server whose answers the test lays out."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from jobworker.client import profiles
from support.small_server import (
    FAILED,
    ID,
    Handler,
    Jobctl,
    Server,
    dropped,
    end_frame,
    frame,
    lines,
    on_terminal,
    view,
)

OTHER = "j-9f8bffff-0d3e-4c7a-8a53-1f2e3d4c5b6a"
JOB_NOT_FOUND = (404, {"error": "Error: job not found", "code": "job_not_found"})


def test_the_core_lines(jobctl: Jobctl, server: Server) -> None:
    server.answers = {
        "POST /jobs/start": (201, {"id": ID, "error": None}),
        f"GET /jobs/{ID}": (200, view()),
        f"POST /jobs/{ID}/stop": (200, {"id": ID, "error": None}),
        f"GET /jobs/{ID}/output": (200, lines(["hello world", "ä"], ["oh"])),
    }
    start = jobctl("start", "--", "/bin/sleep", "5")
    assert (start.stdout, start.stderr) == (f"Job started with ID {ID}.\n".encode(), b"")
    assert jobctl("status", ID).stdout == f"ID: {ID}\nStatus: Running\nExit code: n/a\n".encode()
    assert jobctl("stop", ID).stdout == f"Job with ID {ID} stopped.\n".encode()
    output = jobctl("output", ID)
    assert (output.stdout, output.stderr) == ("Output:\nhello world\nä\n".encode(), b"oh\n")
    assert {start.returncode, output.returncode} == {0}


def test_an_end_has_its_reason(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, FAILED)
    lines = f"ID: {ID}\nStatus: Failed\nExit code: 3\nReason: exited with code 3\n"
    assert jobctl("status", ID).stdout.decode() == lines


def test_what_is_sent(jobctl: Jobctl, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    server.answers[f"POST /jobs/{ID}/stop"] = (200, {"id": ID, "error": None})
    options = ("--env", "A=1=2", "--cwd", "/srv", "--name", "n", "--label", "k=v")
    jobctl("start", *options, "/bin/echo", b"\xff", "-u", "x")
    jobctl("stop", "--grace", "1m30s", ID)
    assert json.loads(server.seen[0].body) == {
        "program": "/bin/echo",
        "args": [{"base64": "/w=="}, "-u", "x"],
        "env": {"A": "1=2"},
        "cwd": "/srv",
        "name": "n",
        "labels": {"k": "v"},
    }
    assert json.loads(server.seen[1].body) == {"grace": 90}


def test_a_refusal_is_the_servers_own_line(jobctl: Jobctl, server: Server) -> None:
    status, body = JOB_NOT_FOUND
    server.answers[f"GET /jobs/{ID}"] = (status, body | {"hint": "see jobctl list"})
    done = jobctl("status", ID)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Error: job not found\n"


def test_hints_are_for_people_on_a_terminal_who_want_them(jobctl: Jobctl, server: Server) -> None:
    status, body = JOB_NOT_FOUND
    server.answers[f"GET /jobs/{ID}"] = (status, body | {"hint": "see jobctl list"})
    error = "Error: job not found\r\n"
    assert on_terminal(jobctl, "status", ID) == (1, f"{error}hint: see jobctl list\r\n")
    assert on_terminal(jobctl, "status", "-q", ID) == (1, error)


def test_with_json_a_refusal_is_an_answer(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = JOB_NOT_FOUND
    done = jobctl("status", "--json", ID)
    assert done.returncode == 1
    assert json.loads(done.stdout) == JOB_NOT_FOUND[1]
    assert done.stderr == b"Error: job not found\n"


def test_json_is_the_servers_answer_in_one_line(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, FAILED)
    done = jobctl("--json", "status", ID)
    assert json.loads(done.stdout) == FAILED
    assert done.stdout.count(b"\n") == 1


def test_a_hint_of_a_start_is_for_people(jobctl: Jobctl, server: Server) -> None:
    hint = "a job has its own /tmp"
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None, "hint": hint})
    done = jobctl("start", "/bin/cat", "/tmp/x")
    assert (done.stdout, done.stderr) == (f"Job started with ID {ID}.\n".encode(), b"")
    for verb in ("start", "run"):
        server.answers[f"GET /jobs/{ID}"] = server.answers[f"GET /jobs/{ID}/output?follow=true"] = (
            JOB_NOT_FOUND
        )
        assert f"hint: {hint}\r\n" in on_terminal(jobctl, verb, "/bin/cat", "/tmp/x")[1]
    assert on_terminal(jobctl, "start", "-q", "/bin/cat", "/tmp/x") == (0, f"{ID}\r\n")


def test_a_prefix_is_looked_up(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, view())
    page = {"jobs": [view()], "next": None, "error": None}
    server.answers["GET /jobs?idPrefix=j-9f8b6c&limit=10"] = (200, page)
    assert jobctl("status", "-q", "j-9f8b6c").stdout == f"{ID}\n".encode()


def test_an_ambiguous_prefix_lists_what_it_fits(jobctl: Jobctl, server: Server) -> None:
    page = {"jobs": [view(), view(id=OTHER)], "next": None, "error": None}
    server.answers["GET /jobs?idPrefix=j-9f8b&limit=10"] = (200, page)
    done = jobctl("stop", "j-9f8b")
    assert done.returncode == 2
    assert f"'j-9f8b' fits more than one job: {ID}, {OTHER}\n" in done.stderr.decode()
    assert server.requests() == ["GET /jobs?idPrefix=j-9f8b&limit=10"]


def test_a_prefix_of_nothing_is_a_job_not_found(jobctl: Jobctl, server: Server) -> None:
    empty: dict[str, Any] = {"jobs": [], "next": None, "error": None}
    server.answers["GET /jobs?idPrefix=j-9f8b&limit=10"] = (200, empty)
    code, seen = on_terminal(jobctl, "status", "j-9f8b")
    assert code == 1
    assert seen.startswith("Error: job not found\r\nhint: no ID of your jobs begins with")


def test_removing_goes_on_after_a_refusal(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"DELETE /jobs/{ID}"] = JOB_NOT_FOUND
    server.answers[f"DELETE /jobs/{OTHER}"] = (200, {"id": OTHER, "error": None})
    done = jobctl("rm", ID, OTHER)
    assert done.returncode == 1
    assert done.stdout == f"Job with ID {OTHER} removed.\n".encode()
    assert done.stderr == f"Error: job not found ({ID})\n".encode()


def test_with_json_a_refusal_among_several_names_its_job(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"DELETE /jobs/{ID}"] = JOB_NOT_FOUND
    server.answers[f"DELETE /jobs/{OTHER}"] = (200, {"id": OTHER, "error": None})
    done = jobctl("rm", "--json", ID, OTHER)
    refused, removed = map(json.loads, done.stdout.splitlines())
    assert refused == {"id": ID, **JOB_NOT_FOUND[1]}
    assert removed == {"id": OTHER, "error": None}


def test_nothing_is_done_where_one_of_several_is_ambiguous(jobctl: Jobctl, server: Server) -> None:
    page = {"jobs": [view(), view(id=OTHER)], "next": None, "error": None}
    server.answers["GET /jobs?idPrefix=j-9f8b&limit=10"] = (200, page)
    done = jobctl("rm", "--json", ID, "j-9f8b")
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "wrong_use"
    assert server.requests() == ["GET /jobs?idPrefix=j-9f8b&limit=10"]


def test_a_server_that_is_gone_is_told_once(jobctl: Jobctl, server: Server) -> None:

    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    server.answers[f"DELETE /jobs/{ID}"] = hang_up
    done = jobctl("rm", ID, OTHER)
    assert done.returncode == 1
    assert done.stderr.count(b"Error: ") == 1
    assert set(server.requests()) == {f"DELETE /jobs/{ID}"}


def test_the_status_of_several_jobs(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, view())
    server.answers[f"GET /jobs/{OTHER}"] = (200, FAILED | {"id": OTHER})
    blocks = jobctl("status", ID, OTHER, ID).stdout.decode().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [f"ID: {ID}", f"ID: {OTHER}"]
    quiet = jobctl("status", "-q", OTHER, ID).stdout.decode()
    assert quiet == f"{OTHER}\n{ID}\n"


def test_a_list_pages_and_filters(jobctl: Jobctl, server: Server) -> None:
    query = "owner=alice&program=%2Fbin%2Fa+b&label=k%3Dv&status=Failed&limit=2"
    first = {"jobs": [view()], "next": "c/1", "error": None}
    second = {"jobs": [view(id=OTHER)], "next": "c/2", "error": None}
    server.answers[f"GET /jobs?{query}"] = (200, first)
    rest = query.replace("limit=2", "limit=1&cursor=c%2F1")
    server.answers[f"GET /jobs?{rest}"] = (200, second)
    words = ["list", "--limit", "2", "--owner", "alice", "--status", "failed", "--label", "k=v"]
    done = jobctl(*words, "--program", "/bin/a b")
    rows = [line.split("\t")[:6] for line in done.stdout.decode().splitlines()]
    assert rows == [
        [job, "Running", "-", "alice", "2026-01-31 12:00:00", r"/bin/echo a\tb\x1b …"]
        for job in (ID, OTHER)
    ]
    assert b"There are more jobs" in done.stderr


def test_a_list_on_a_terminal_is_a_table(jobctl: Jobctl, server: Server) -> None:
    page = {"jobs": [view(args=["x" * 100])], "next": None, "error": None}
    server.answers["GET /jobs?limit=1000"] = (200, page)
    jobctl.environment |= {"COLUMNS": "80", "TERM": "xterm"}
    code, seen = on_terminal(jobctl, "list", "--all")
    assert code == 0
    header, row = seen.splitlines()
    assert header.split() == ["ID", "STATUS", "EXIT", "OWNER", "CREATED", "TIME", "PROGRAM"]
    assert row.startswith("j-9f8b6c52  \x1b[36mRunning\x1b[0m  -")
    assert len(row.replace("\x1b[36m", "").replace("\x1b[0m", "")) == 80
    assert row.endswith("\N{HORIZONTAL ELLIPSIS}")
    jobctl.environment["NO_COLOR"] = "1"
    _, seen = on_terminal(jobctl, "list", "--all", "--wide")
    assert seen.splitlines()[1].startswith(f"{ID}  Running")
    assert "\x1b" not in seen


RAW = bytes(range(256)) * 2_000


def test_raw_output_is_exact(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}/output/stdout"] = lambda handler: handler.reply(200, RAW)
    server.answers[f"GET /jobs/{ID}/output/stderr"] = lambda handler: handler.reply(200, b"\xff")
    for words in (["output", "--raw"], ["logs"]):
        done = jobctl(*words, ID)
        assert (done.stdout, done.stderr) == (RAW, b"\xff")
    done = jobctl("logs", "--stderr", ID)
    assert (done.stdout, done.stderr) == (b"", b"\xff")


def test_following_shows_what_comes_while_the_job_runs(jobctl: Jobctl, server: Server) -> None:
    """The second piece is only sent once the first has been seen at the other end."""
    seen = threading.Event()

    def frames(handler: Handler) -> None:
        handler.begin_chunks()
        handler.chunk(frame(6, "stdout", b"first\n"))
        assert seen.wait(30)
        handler.chunk(frame(11, "stdout", b"\x00last") + frame(14, "stderr", b"err"))
        handler.chunk(end_frame(FAILED, 14))
        handler.chunk(b"")

    server.answers[f"GET /jobs/{ID}/output?follow=true"] = frames
    with jobctl.spawn(
        "output", "-f", ID, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"first\n"
        seen.set()
        out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == (b"\x00last", b"err", 0)


@pytest.mark.parametrize("words", [["output"], ["output", "-f", "--stdout"]])
def test_on_a_terminal_control_characters_do_not_act(
    jobctl: Jobctl, server: Server, words: list[str]
) -> None:
    server.answers[f"GET /jobs/{ID}/output"] = (200, lines(["\x1b[31mred"], ["\x07"]))
    body = frame(9, "stdout", b"\x1b[31mred\n") + end_frame(FAILED, 9)
    follow = f"GET /jobs/{ID}/output?follow=true&stream=stdout"
    server.answers[follow] = lambda h: h.reply(200, body)
    _, seen = on_terminal(jobctl, *words, ID)
    assert r"\x1b[31mred" in seen
    assert "\x1b" not in seen
    assert "\x07" not in seen


def test_a_gap_is_shown_in_its_place(jobctl: Jobctl, server: Server) -> None:
    gaps = [
        {"stream": "stdout", "start": 4, "end": 117440516, "line": 1},
        {"stream": "stdout", "start": 117440520, "end": 117440521, "line": 2},
        {"stream": "stderr", "start": 0, "end": 7, "line": 0},
    ]
    server.answers[f"GET /jobs/{ID}/output"] = (200, lines(["one", "two"], ["oh"], gaps))
    done = jobctl("output", ID)
    first, second = "[… 117440512 bytes not kept …]", "[… 1 bytes not kept …]"
    assert done.stdout.decode() == f"Output:\none\n{first}\ntwo\n{second}\n"
    assert done.stderr.decode() == "[… 7 bytes not kept …]\noh\n"
    assert json.loads(jobctl("output", "--json", ID).stdout)["gaps"] == gaps


@pytest.mark.parametrize("words", [["output", "--raw"], ["logs"]])
def test_exact_output_says_at_its_end_what_is_missing(
    jobctl: Jobctl, server: Server, words: list[str]
) -> None:
    server.answers[f"GET /jobs/{ID}/output/stdout"] = lambda h: h.reply(200, b"ab")
    server.answers[f"GET /jobs/{ID}/output/stderr"] = lambda h: h.reply(200, b"err\n")
    gaps = [{"stream": "stdout", "start": 1, "end": 101}]
    usage = {"stdoutBytes": 2, "stderrBytes": 4, "droppedBytes": 100}
    server.answers[f"GET /jobs/{ID}"] = (200, FAILED | {"usage": usage, "gaps": gaps})
    done = jobctl(*words, ID)
    assert (done.returncode, done.stdout) == (0, b"ab")
    assert done.stderr == b"err\njobctl: 100 bytes of stdout were not kept\n"


def lay_out_frames(server: Server, query: str) -> None:
    frames = (
        frame(4, "stdout", b"one\n") + frame(8, "stdout", b"two ") + frame(12, "stderr", b"err\n")
    )
    frames += frame(16, "stdout", b"2\nx") + end_frame(FAILED, 16)
    server.answers[f"GET /jobs/{ID}/output?{query}"] = lambda h: h.reply(200, frames)


def test_each_line_with_its_time(jobctl: Jobctl, server: Server) -> None:
    lay_out_frames(server, "follow=true")
    done = jobctl("output", "-f", "-t", ID)
    time = "2026-01-31T12:00:00Z"
    assert done.stdout.decode() == f"{time} one\n{time} two 2\n{time} x"
    assert done.stderr.decode() == f"{time} err\n"


def test_a_part_of_the_output(jobctl: Jobctl, server: Server) -> None:
    lay_out_frames(server, "follow=false&since=2026-01-31T11%3A00%3A00Z&tail=3&stream=stdout")
    words = ("--tail", "3", "--since", "2026-01-31T11:00:00Z", "--stdout")
    done = jobctl("output", *words, ID)
    assert done.stdout == b"Output:\none\ntwo 2\nx"
    assert jobctl("logs", *words, ID).stdout == b"one\ntwo 2\nx"


def test_frames_as_json(jobctl: Jobctl, server: Server) -> None:
    frames = frame(1, "stdout", b"a") + frame(2, "stderr", b"\xff") + dropped(9, "stdout", 7)
    frames += end_frame(FAILED, 9)
    server.answers[f"GET /jobs/{ID}/output?follow=true"] = lambda h: h.reply(200, frames)
    done = jobctl("output", "-f", "--json", ID)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        json.loads(line) | {"error": None} for line in frames.splitlines()
    ]


def test_waiting_exits_as_the_first_job_that_failed(jobctl: Jobctl, server: Server) -> None:
    good = view(
        id=OTHER, status="Completed", cause="exited", exitCode=0, finishedAt="2026-01-31T12:00:01Z"
    )
    server.answers[f"GET /jobs/{OTHER}?wait=60.000"] = (200, good)
    server.answers[f"GET /jobs/{ID}?wait=60.000"] = (200, FAILED)
    done = jobctl("wait", "-q", OTHER, ID)
    assert (done.returncode, done.stdout) == (3, f"{OTHER}\n{ID}\n".encode())


def test_waiting_that_takes_too_long(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}?wait=0.000"] = (200, view())
    done = jobctl("wait", "--timeout", "0", ID)
    assert done.returncode == 124
    assert b"has not ended in the time given" in done.stderr


def test_identity_and_trust_for_scripts(
    jobctl: Jobctl, server: Server, profile: profiles.Profile
) -> None:
    server.answers["GET /me"] = (200, {"name": "alice", "role": "user", "error": None})
    assert jobctl("whoami").stdout == b"alice (user)\n"
    assert jobctl("ca").stdout.decode() == f"{profile.ca}\n"
    assert jobctl("token", "print").stdout.decode() == f"{profile.token}\n"
    assert json.loads(jobctl("version", "--json").stdout)["version"]


def test_another_profile(jobctl: Jobctl, server: Server, profile: profiles.Profile) -> None:
    profiles.store(profiles.Profile("bob", server=profile.server, ca=profile.ca, token="bobs"))
    server.answers["GET /me"] = (200, {"name": "bob", "role": "user", "error": None})
    jobctl("-u", "bob", "whoami")
    jobctl("whoami", "--user", "bob")
    assert [handler.headers["Authorization"] for handler in server.seen] == ["Bearer bobs"] * 2
    done = jobctl("whoami", "-u", "carol")
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: there is no profile 'carol' in ")


def test_a_loose_configuration_stops_it_before_anything_is_sent(
    jobctl: Jobctl, server: Server
) -> None:
    Path(jobctl.environment["JOBCTL_CONFIG"]).chmod(0o644)
    code, seen = on_terminal(jobctl, "whoami")
    assert code == 1
    assert "its mode is 0644, so others may read the tokens in it\r\nhint: chmod 600" in seen
    assert server.connections == 0


def test_an_unreachable_server_is_an_error_like_any_other(jobctl: Jobctl) -> None:
    jobctl.environment["JOBCTL_SERVER"] = "https://127.0.0.1:1"
    done = jobctl("whoami", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "server_unreachable"
    assert done.stderr.startswith(b"Error: cannot reach https://127.0.0.1:1: connection refused\n")


def test_nobody_reads_the_output(jobctl: Jobctl, server: Server) -> None:
    """As ``jobctl logs ID | head -c 1``: quietly, with what a shell calls SIGPIPE."""
    server.answers[f"GET /jobs/{ID}/output/stdout"] = lambda handler: handler.reply(200, RAW)
    with jobctl.spawn("logs", ID, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_connection_that_is_lost_is_told_once(jobctl: Jobctl, server: Server) -> None:
    attempts = iter([Handler.hang_up, Handler.hang_up])

    def answer(handler: Handler) -> None:
        done = json.dumps(FAILED).encode()
        next(attempts, lambda handler: handler.reply(200, done))(handler)

    server.answers[f"GET /jobs/{ID}?wait=60.000"] = answer
    done = jobctl("wait", "-q", ID)
    assert (done.returncode, done.stdout) == (3, ID.encode() + b"\n")
    assert done.stderr.startswith(f"jobctl: lost the connection to {server.url}: ".encode())
    assert done.stderr.count(b"trying again\n") == 1
