"""Jobs by name, all that is known of one, and lists as people want them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import Any

import pytest

from support.small_server import FAILED, ID, Jobctl, Server, on_terminal, view

OTHER = ID[:14] + "f" + ID[15:]


def page(*jobs: dict[str, Any], more: str | None = None) -> tuple[int, dict[str, Any]]:
    return (200, {"jobs": list(jobs), "next": more, "error": None})


def named(
    server: Server,
    running: tuple[dict[str, Any], ...] = (),
    ended: tuple[dict[str, Any], ...] = (),
) -> None:
    """Lay out the jobs of the name ``web``."""
    server.answers |= {
        "GET /jobs?status=Running&name=web&limit=10": page(*running),
        "GET /jobs?status=Queued&name=web&limit=10": page(),
        "GET /jobs?name=web&limit=10": page(*running, *ended),
    }


def test_a_name_that_one_job_has_is_a_reference(jobctl: Jobctl, server: Server) -> None:
    named(server, running=(view(name="web"),), ended=(FAILED | {"id": OTHER},))
    server.answers[f"POST /jobs/{ID}/stop"] = (200, {"id": ID, "error": None})
    assert jobctl("stop", "web").stdout == f"Job with ID {ID} stopped.\n".encode()


def test_a_name_of_ended_jobs_is_a_reference_where_it_is_one_jobs(
    jobctl: Jobctl, server: Server
) -> None:
    named(server, ended=(FAILED | {"id": OTHER},))
    server.answers[f"GET /jobs/{OTHER}"] = (200, FAILED | {"id": OTHER})
    assert jobctl("status", "-q", "web").stdout == f"{OTHER}\n".encode()


@pytest.mark.parametrize("which", ["running", "ended"])
def test_a_name_of_several_jobs_is_refused_with_their_ids(
    jobctl: Jobctl, server: Server, which: str
) -> None:
    jobs = (view(name="web"), view(id=OTHER, name="web"))
    named(server, **{which: jobs})
    done = jobctl("stop", "web")
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"'web' fits more than one job: {ID}, {OTHER}\n" in done.stderr.decode()
    assert not any(request.startswith("POST") for request in server.requests())


def test_a_name_that_no_job_has_is_wrong_use(jobctl: Jobctl, server: Server) -> None:
    named(server)
    done = jobctl("show", "web")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"'web' is neither a job ID nor the name of a job" in done.stderr


FULL = FAILED | {
    "name": "nightly",
    "labels": {"team": "web"},
    "program": "/bin/sh",
    "args": ["-c", "echo a b", {"base64": "/w=="}],
    "cause": "timeout",
    "signal": "SIGTERM",
    "exitCode": None,
    "reason": "timed out after 10 s",
    "evidence": {"timeout": 10.0},
    "limits": {"memory": 67_108_864, "timeout": 600.0, "nice": None},
    "usage": {
        "cpuSeconds": 1.5,
        "peakMemory": 1_048_576,
        "stdoutBytes": 2048,
        "stderrBytes": 0,
        "droppedBytes": 5,
    },
    "input": "pipe",
    "runAs": "reports",
    "network": False,
    "containment": "full",
    "node": "here",
    "pid": None,
    "finishedAt": "2026-01-31T12:00:10.75Z",
}


def test_show_tells_people_all_of_it(jobctl: Jobctl, server: Server) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, FULL)
    shown = jobctl("show", ID).stdout.decode()
    facts = dict(line.split(":", 1) for line in shown.splitlines())
    assert {name: text.strip() for name, text in facts.items()} == {
        "ID": ID,
        "Name": "nightly",
        "Labels": "team=web",
        "Owner": "alice",
        "Command": "/bin/sh -c 'echo a b' \N{HORIZONTAL ELLIPSIS}",
        "Input": "a pipe",
        "Status": "Failed",
        "Signal": "SIGTERM",
        "Reason": "timed out after 10 s",
        "Cause": "timeout",
        "Created": "2026-01-31T12:00:00Z",
        "Started": "2026-01-31T12:00:00Z",
        "Finished": "2026-01-31T12:00:10Z",
        "Took": "10s",
        "Limits": "memory 64 MiB, timeout 10m",
        "Runs": "on here as reports, containment full, without network",
        "CPU time": "1.5s",
        "Peak memory": "1 MiB",
        "Output": "2 KiB of stdout, 0 bytes of stderr; 5 bytes more were not kept",
        "Evidence": "",
        "  timeout": "10s (10)",
    }
    assert json.loads(jobctl("show", "--json", ID).stdout) == FULL
    assert jobctl("show", "-q", ID).stdout == f"{ID}\n".encode()


FIRST = FULL | {"args": ["b"]}
SECOND = FULL | {"id": OTHER, "name": None, "usage": None, "args": ["a"]}


def test_a_list_has_the_columns_and_the_order_that_were_asked_for(
    jobctl: Jobctl, server: Server
) -> None:
    server.answers["GET /jobs?limit=100"] = page(FIRST, SECOND)

    def rows(*words: str) -> list[list[str]]:
        return [line.split("\t") for line in jobctl("list", *words).stdout.decode().splitlines()]

    first, second = [ID, "nightly", "1048576", "10.000"], [OTHER, "-", "-", "10.000"]
    columns = ("-o", "id,name,memory,time")
    assert rows(*columns) == [first, second]
    assert rows(*columns, "-r") == [second, first]
    assert rows(*columns, "--sort", "command") == [second, first]
    assert rows(*columns, "--sort", "command", "-r") == [first, second]
    assert rows(*columns, "--sort", "memory") == [first, second]  # what has none comes last
    assert rows("-q", "-r") == [[OTHER], [ID]]
    listed = json.loads(jobctl("list", "--json", "-r").stdout)["jobs"]
    assert [job["id"] for job in listed] == [OTHER, ID]


def test_columns_on_a_terminal_are_a_table_that_fits(jobctl: Jobctl, server: Server) -> None:
    server.answers["GET /jobs?limit=100"] = page(FIRST | {"args": ["x" * 500]}, SECOND)
    jobctl.environment |= {"COLUMNS": "40", "TERM": "xterm"}
    _, seen = on_terminal(jobctl, "list", "-o", "name,memory,cpu,finished,command")
    title, first, second = seen.splitlines()
    assert title.split() == ["NAME", "MEMORY", "CPU", "FINISHED", "\N{HORIZONTAL ELLIPSIS}"]
    assert first.startswith("nightly  1 MiB   1.5s  2026-01-31 12:00")
    assert max(map(len, (title, first, second))) == 40


def test_a_long_command_is_cut_in_a_pipe_too(jobctl: Jobctl, server: Server) -> None:
    server.answers["GET /jobs?limit=100"] = page(view(args=["x" * 100_000]))
    assert len(jobctl("list").stdout.decode()) < 1200
    assert len(jobctl("list", "-o", "command").stdout.decode()) < 1200
    assert len(jobctl("list", "--wide").stdout.decode()) > 100_000
    assert len(jobctl("list", "--wide", "-o", "command").stdout.decode()) > 100_000


def test_watching_in_a_pipe_prints_what_changes(jobctl: Jobctl, server: Server) -> None:
    server.answers["GET /jobs?limit=100"] = page(view())
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with jobctl.spawn("list", "-w", "-o", "id,status", **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == f"{ID}\tRunning\n".encode()
        server.answers["GET /jobs?limit=100"] = page(view(id=OTHER), view())
        assert process.stdout.readline() == f"{OTHER}\tRunning\n".encode()
        server.answers["GET /jobs?limit=100"] = page(view(id=OTHER), view(status="Stopped"))
        assert process.stdout.readline() == f"{ID}\tStopped\n".encode()
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert (rest, said, process.returncode) == (b"", b"", 0)


def test_watching_on_a_terminal_draws_in_place(jobctl: Jobctl, server: Server) -> None:
    """Never more lines than the window has, as its top could not be reached again."""
    ids = [f"{ID[:-2]}{number:02x}" for number in range(30)]
    server.answers["GET /jobs?limit=100"] = page(*(view(id=job_id) for job_id in ids))
    jobctl.environment |= {"COLUMNS": "80", "LINES": "10", "TERM": "xterm"}
    controller, terminal = pty.openpty()
    process = jobctl.spawn("list", "-w", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    while seen.count(b"more)") < 1:
        seen += os.read(controller, 65_536)
    server.answers["GET /jobs?limit=100"] = page(view(status="Stopped"))
    while b"Stopped" not in seen:
        seen += os.read(controller, 65_536)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    os.close(controller)
    first, _, second = seen.decode().rpartition("\x1b[9A")
    assert "(23 more)" in first
    assert second.startswith("\r\x1b[J")
    assert second.count("\n") == 2


def test_the_version_is_an_option_too(jobctl: Jobctl) -> None:
    for words in (["--version"], ["version"]):
        assert jobctl(*words).stdout.startswith(b"jobctl ")
