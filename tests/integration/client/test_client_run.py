"""``jobctl run``: as if the program ran here, and what Ctrl-C means then."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from typing import Any

import pytest

from support.small_server import (
    FAILED,
    ID,
    Handler,
    Jobctl,
    Server,
    dropped,
    end_frame,
    frame,
    on_terminal,
    view,
)

FOLLOW = f"GET /jobs/{ID}/output?follow=true"


def runs(server: Server, ended: dict[str, Any], stdout: bytes = b"", stderr: bytes = b"") -> None:
    """Lay out a job that is started, followed and waited for."""
    seq = len(stdout) + len(stderr)
    frames = [frame(len(stdout), "stdout", stdout)] if stdout else []
    frames += [frame(seq, "stderr", stderr)] if stderr else []
    frames.append(end_frame(ended, seq))
    server.answers = {
        "POST /jobs/start": (201, {"id": ID, "error": None}),
        f"GET /jobs/{ID}": (200, view()),
        FOLLOW: lambda h: h.reply(200, b"".join(frames)),
        f"GET /jobs/{ID}?wait=60.000": (200, ended),
        f"POST /jobs/{ID}/stop": (200, {"id": ID, "error": None}),
    }


def test_run_is_as_if_the_program_ran_here(jobctl: Jobctl, server: Server) -> None:
    runs(server, FAILED, b"\x00out", b"err\n")
    done = jobctl("run", "--", "/bin/x")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"\x00out", b"err\n")


def test_run_says_what_killed_it(jobctl: Jobctl, server: Server) -> None:
    end = "2026-01-31T12:00:01Z"
    reason = "killed by SIGSEGV"
    how = {"cause": "signaled", "signal": "SIGSEGV", "reason": reason}
    runs(server, view(status="Failed", finishedAt=end, **how))
    done = jobctl("run", "/bin/x")
    assert (done.returncode, done.stderr) == (139, b"jobctl: killed by SIGSEGV\n")


OOM = view(
    status="Failed",
    cause="oom",
    signal="SIGKILL",
    reason="out of memory (limit 64 MiB)",
    evidence={"memoryLimit": 67_108_864, "memoryPeak": 67_108_864, "oomKills": 1},
    finishedAt="2026-01-31T12:00:01Z",
)


def test_run_says_where_the_evidence_is(jobctl: Jobctl, server: Server) -> None:
    """The ID of a job that ran in the foreground is known to nobody else."""
    runs(server, OOM)
    done = jobctl("run", "--memory", "64M", "/bin/x")
    assert done.returncode == 137
    assert done.stderr.decode() == f"jobctl: out of memory (limit 64 MiB); see jobctl why {ID}\n"
    assert json.loads(server.seen[0].body)["limits"] == {"memory": 67_108_864}
    named = jobctl("-u", "admin", "run", "/bin/x")
    assert f"; see jobctl -u admin why {ID}\n" in named.stderr.decode()


@pytest.mark.parametrize(
    ("cause", "reason", "exits"),
    [
        ("timeout", "timed out after 1 s", 124),
        ("stopped", "stopped by admin", 137),
        ("output-limit", "wrote more than 1 KiB of output", 137),
    ],
)
@pytest.mark.parametrize("verb", ["run", "attach"])
def test_why_is_told_also_where_the_program_used_its_grace(
    jobctl: Jobctl, server: Server, verb: str, cause: str, reason: str, exits: int
) -> None:
    """It ended by itself, with 0, and the exit code is another."""
    end = {"finishedAt": "2026-01-31T12:00:01Z", "exitCode": 0}
    ended = view(status="Failed", cause=cause, reason=reason, input=None, **end)
    runs(server, ended, b"bye\n")
    server.answers[f"GET /jobs/{ID}"] = (200, ended)
    done = jobctl(verb, ID if verb == "attach" else "/bin/x")
    assert (done.returncode, done.stdout) == (exits, b"bye\n")
    assert done.stderr.decode().startswith(f"jobctl: {reason}")


def test_attach_to_an_unknown_job_exits_as_its_help_says(jobctl: Jobctl, server: Server) -> None:
    missing = {"error": "Error: job not found", "code": "job_not_found"}
    server.answers[f"GET /jobs/{ID}"] = (404, missing)
    done = jobctl("attach", ID)
    assert (done.returncode, done.stdout, done.stderr) == (125, b"", b"Error: job not found\n")
    assert jobctl("attach", "no-id").returncode == 2


def test_run_exits_by_the_cause(jobctl: Jobctl, server: Server) -> None:
    how = {"cause": "timeout", "signal": "SIGTERM", "reason": "timed out after 1 s"}
    end = "2026-01-31T12:00:01Z"
    runs(server, view(status="Failed", evidence={"timeout": 1.0}, finishedAt=end, **how))
    assert jobctl("run", "--json", "/bin/x").returncode == 124


def test_a_queued_program_that_was_not_found(jobctl: Jobctl, server: Server) -> None:
    reason = "could not be started: program not found"
    how = {"cause": "start-failed", "reason": reason, "evidence": {"code": "program_not_found"}}
    failed = view(status="Failed", finishedAt="2026-01-31T12:00:01Z", **how)
    runs(server, failed)
    server.answers[f"GET /jobs/{ID}"] = (200, failed)
    done = jobctl("run", "/bin/x")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        127,
        f"jobctl: {reason}; see jobctl why {ID}".encode(),
    )


@pytest.mark.parametrize(("status", "times"), [("Queued", 1), ("Running", 0)])
def test_a_person_is_told_that_the_job_waits(
    jobctl: Jobctl, server: Server, status: str, times: int
) -> None:
    runs(server, FAILED, b"out\n")
    server.answers[f"GET /jobs/{ID}"] = (200, view(status=status))
    code, seen = on_terminal(jobctl, "run", "/bin/x")
    assert (code, "out" in seen) == (3, True)
    assert seen.count(f"jobctl: job {ID} waits until there is room for it") == times


def test_a_script_is_not(jobctl: Jobctl, server: Server) -> None:
    runs(server, FAILED, b"out\n")
    done = jobctl("run", "/bin/x")
    assert done.stderr == b""
    assert f"GET /jobs/{ID}" not in server.requests()


def test_run_says_what_was_not_kept_in_its_place(jobctl: Jobctl, server: Server) -> None:
    runs(server, FAILED)
    frames = frame(3, "stdout", b"out") + frame(4, "stderr", b"a") + dropped(6, "stderr", 2)
    frames += frame(8, "stderr", b"e\n") + end_frame(FAILED, 8)
    server.answers[FOLLOW] = lambda h: h.reply(200, frames)
    done = jobctl("run", "--", "/bin/x")
    assert (done.returncode, done.stdout) == (3, b"out")
    assert done.stderr == b"ajobctl: 2 bytes of stderr were not kept\ne\n"


@pytest.mark.parametrize(
    ("status", "code", "exits"),
    [
        (404, "program_not_found", 127),
        (422, "program_not_executable", 126),
        (403, "program_forbidden", 125),
        (422, "limit_too_high", 125),
        (429, "too_many_jobs", 125),
        (503, "start_failed", 125),
        (401, "bad_authentication", 125),
    ],
)
def test_run_and_start_that_are_refused(
    jobctl: Jobctl, server: Server, status: int, code: str, exits: int
) -> None:
    error = {"error": "Error: no", "code": code, "hint": "think again"}
    server.answers["POST /jobs/start"] = (status, error)
    run, start = jobctl("run", "/bin/x"), jobctl("start", "/bin/x")
    assert (run.returncode, start.returncode) == (exits, 1)
    assert run.stderr == start.stderr == b"Error: no\n"


def test_detached_run_is_start(jobctl: Jobctl, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    assert jobctl("run", "-d", "/bin/x").stdout == f"Job started with ID {ID}.\n".encode()
    assert server.requests() == ["POST /jobs/start"]


def test_ctrl_c_without_a_terminal_leaves_the_job(jobctl: Jobctl, server: Server) -> None:
    following, done = threading.Event(), threading.Event()

    def stdout(handler: Handler) -> None:
        handler.begin_chunks()
        handler.chunk(frame(8, "stdout", b"started\n"))
        following.set()
        done.wait(30)

    runs(server, FAILED)
    server.answers[FOLLOW] = stdout
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with jobctl.spawn("run", "/bin/x", **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        done.set()
    assert process.returncode == 130
    assert f"job {ID} goes on; come back to it with: jobctl output -f {ID}" in err.decode()
    assert f"POST /jobs/{ID}/stop" not in server.requests()


@pytest.mark.parametrize(("reply", "exits"), [("y\n", 137), ("n\n", 130), ("\n", 130)])
def test_ctrl_c_on_a_terminal_asks(jobctl: Jobctl, server: Server, reply: str, exits: int) -> None:
    done = threading.Event()
    process_id: list[int] = []
    shown = threading.Event()

    def stdout(handler: Handler) -> None:
        handler.begin_chunks()
        handler.chunk(frame(5, "stdout", b"begun"))
        assert shown.wait(30)
        os.kill(process_id[0], signal.SIGINT)
        done.wait(30)

    end = "2026-01-31T12:00:01Z"
    stopped = view(status="Stopped", cause="stopped", signal="SIGKILL", finishedAt=end)
    runs(server, stopped)
    server.answers[FOLLOW] = stdout
    rest = frame(10, "stdout", b"rest\n") + end_frame(stopped, 10)
    server.answers[f"{FOLLOW}&after=5"] = lambda h: h.reply(200, rest)
    controller, terminal = pty.openpty()
    process = jobctl.spawn("run", "/bin/x", stdin=terminal, stdout=terminal, stderr=terminal)
    process_id.append(process.pid)
    os.close(terminal)
    seen = b""
    while b"[y/N] " not in seen:
        seen += os.read(controller, 65_536)
        if b"begun" in seen:
            shown.set()
    assert f"begun\r\njobctl: job {ID} goes on;".encode() in seen
    os.write(controller, reply.encode())
    if exits == 137:  # what came after the interrupt comes, and nothing twice
        while b"rest" not in seen:
            seen += os.read(controller, 65_536)
        assert seen.count(b"begun") == 1
    assert process.wait(30) == exits
    done.set()
    os.close(controller)
    assert (f"POST /jobs/{ID}/stop" in server.requests()) == (exits == 137)


def test_ctrl_c_stops_the_job_where_that_was_asked_for(jobctl: Jobctl, server: Server) -> None:
    end = "2026-01-31T12:00:01Z"
    stopped = view(status="Stopped", cause="stopped", signal="SIGKILL", finishedAt=end)
    runs(server, stopped)
    done = threading.Event()

    def stdout(handler: Handler) -> None:
        handler.begin_chunks()
        handler.chunk(frame(8, "stdout", b"started\n"))
        done.wait(30)

    server.answers[FOLLOW] = stdout
    server.answers[f"{FOLLOW}&after=8"] = lambda h: h.reply(200, end_frame(stopped, 8))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with jobctl.spawn("run", "--stop-on-interrupt", "/bin/x", **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        done.set()
    assert process.returncode == 137
    assert f"POST /jobs/{ID}/stop" in server.requests()
