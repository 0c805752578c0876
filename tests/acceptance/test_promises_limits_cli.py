"""Limits, causes and more time by jobctl, with a real server and real jobs."""

from __future__ import annotations

import errno
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.jobd import Jobd

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def server(module_jobd: Jobd) -> Jobd:
    added = module_jobd.jobd("user", "add", "user1")
    assert added.returncode == 0, added.stderr
    return module_jobd


def say(server: Jobd, *args: str, user: str | None = None) -> tuple[int, str, str]:
    done = server.jobctl(*args, user=user)
    return done.returncode, done.stdout, done.stderr


def start(server: Jobd, options: str, *program: str) -> str:
    """The ID of a job with limits; skips where this machine cannot keep them.

    That such a start is refused, and in which words, is looked at all the same.
    """
    done = server.jobctl("start", "--json", *options.split(), "--", *program)
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer.get("code") in ("limit_unavailable", "isolation_unavailable"):
        assert done.returncode == 1
        assert done.stderr == f"{answer['error']}\n"
        pytest.skip(f"takes a machine that can do it: {answer['error']}")
    assert done.returncode == 0, done.stderr
    job_id: str = answer["id"]
    return job_id


def ended(server: Jobd, options: str, *program: str) -> dict[str, Any]:
    """How a job with limits stands once it has ended."""
    job_id = start(server, options, *program)
    job: dict[str, Any] = json.loads(server.jobctl("wait", "--json", job_id).stdout)
    return job


def printed(server: Jobd, options: str, *program: str) -> str:
    """What such a job writes to its standard output."""
    job = ended(server, options, *program)
    return server.succeed("logs", "--stdout", job["id"])


def deadline_of(server: Jobd, job_id: str) -> datetime:
    status = server.succeed("status", job_id)
    match = re.fullmatch(
        rf"ID: {job_id}\nStatus: Running\nExit code: n/a\nDeadline: ({MOMENT})\n", status
    )
    assert match, status
    return datetime.fromisoformat(match[1])


def test_a_program_that_takes_too_long(server: Jobd) -> None:
    code, out, err = say(server, "run", "--timeout", "0.5s", "--", "/bin/sleep", "1000")
    match = re.fullmatch(r"jobctl: timed out after 0\.5 s; see jobctl why (j-\S+)\n", err)
    assert match, err
    assert (code, out) == (124, "")
    assert server.jobctl("wait", match[1]).returncode == 124
    lines = server.succeed("why", match[1]).splitlines()
    assert lines[:3] == ["Cause: timeout", "Reason: timed out after 0.5 s", "Evidence:"]
    assert "  timeout: 0.5s (0.5)" in lines
    assert server.succeed("why", "-q", match[1]) == "timeout\n"


def test_a_program_may_use_the_grace(server: Jobd) -> None:
    """It ends by itself, and is no less too late for that."""
    script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"
    options = ("--timeout", "0.5", "--grace", "60")
    code, out, err = say(server, "run", *options, "--", "/bin/sh", "-c", script)
    assert (code, out) == (124, "bye\n")
    assert "jobctl: timed out after 0.5 s; see jobctl why j-" in err


def test_more_time(server: Jobd) -> None:
    before = datetime.now(UTC)
    job_id = server.succeed("start", "-q", "--timeout", "1h", "--", "/bin/sleep", "1000").strip()
    first = deadline_of(server, job_id)
    assert first >= before.replace(microsecond=0) + timedelta(hours=1)
    code, out, err = say(server, "extend", job_id[:13], "30m")
    match = re.fullmatch(rf"Job with ID {job_id} may run until ({MOMENT})\.\n", out)
    assert match, err
    assert (code, err) == (0, "")
    assert datetime.fromisoformat(match[1]) == first + timedelta(minutes=30)
    assert deadline_of(server, job_id) == first + timedelta(minutes=30)
    running = say(server, "why", job_id)
    assert running == (
        0,
        f"Status: Running\nDeadline: {match[1]}\n",
        f"jobctl: job {job_id} has not ended\n",
    )
    refused = say(server, "extend", job_id, "30m", user="user1")
    assert refused == (1, "", "Error: unauthorized action\n")
    server.succeed("stop", job_id)
    assert say(server, "extend", job_id, "30m")[::2] == (1, "Error: job not running\n")


def test_no_more_time_without_a_time_limit(server: Jobd) -> None:
    job_id = server.start_job("/bin/sleep", "1000")
    code, out, err = say(server, "extend", job_id, "30m")
    assert (code, out) == (1, "")
    assert err == "Error: the job has no time limit\n"
    server.succeed("stop", job_id)


def test_why_a_job_ended_by_itself_or_was_stopped(server: Jobd) -> None:
    code, _, err = say(server, "run", "--", "/bin/sh", "-c", "exit 3")
    assert (code, err) == (3, "")
    job_id = server.start_job("/bin/sleep", "1000")
    server.succeed("stop", job_id)
    assert server.jobctl("wait", job_id).returncode == 137
    assert server.succeed("why", job_id).startswith("Cause: stopped\nReason: stopped by admin\n")


def test_out_of_memory(server: Jobd) -> None:
    script = "x = bytearray(10**9)"
    job = ended(server, "--memory 64M", "/usr/bin/python3", "-c", script)
    assert (job["status"], job["cause"], job["exitCode"]) == ("Failed", "oom", None)
    assert server.jobctl("wait", job["id"]).returncode == 137
    lines = server.succeed("why", job["id"]).splitlines()
    assert lines[:3] == ["Cause: oom", "Reason: out of memory (limit 64 MiB)", "Evidence:"]
    assert "  memoryLimit: 64 MiB (67108864)" in lines
    assert any(re.fullmatch(r"  memoryPeak: .* MiB \(\d+\)", line) for line in lines)


def test_too_much_output(server: Jobd) -> None:
    job = ended(server, "--output 1M", "/bin/sh", "-c", "yes | head -c 5000000; exit 4")
    kept = len(server.jobctl_bytes("logs", job["id"]).stdout)
    assert kept <= 2**20
    assert job["usage"]["droppedBytes"] == 5_000_000 - kept or job["cause"] == "output-limit"


def test_open_files(server: Jobd) -> None:
    assert printed(server, "--open-files 64", "/bin/sh", "-c", "ulimit -n") == "64\n"


def test_nice(server: Jobd) -> None:
    assert printed(server, "--nice 10", "/usr/bin/nice") == "10\n"


def test_processes(server: Jobd) -> None:
    """What is over the limit is refused to the program, and not the end of it."""
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo unlimited"
    job = ended(server, "--pids 5 --timeout 30s", "/bin/sh", "-c", script)
    assert "unlimited" not in server.succeed("logs", "--stdout", job["id"])


def test_files_in_tmp_are_limited_or_the_start_is_refused(server: Jobd) -> None:
    """Few machines have a file system that keeps it: ``tests/limits`` makes one in a kernel."""
    script = "head -c 5000000 /dev/zero > /tmp/x || echo full"
    code, out, err = say(server, "run", "--tmp", "1M", "--", "/bin/sh", "-c", script)
    if code != 0:
        assert "the limit tmp is not enforced here: " in err
    assert out == ("full\n" if code == 0 else "")


def test_without_network(server: Jobd) -> None:
    """It has a loopback of its own, so not even the server is within reach."""
    port = server.url.rpartition(":")[2]
    script = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
    program = ("/usr/bin/python3", "-c", script)
    assert printed(server, "", *program) == "0\n"
    assert printed(server, "--no-network", *program) == f"{errno.ECONNREFUSED}\n"


def test_limits_are_in_the_view_of_a_job(server: Jobd) -> None:
    job_id = server.succeed("start", "-q", "--timeout", "90s", "--", "/bin/true").strip()
    assert json.loads(server.jobctl("wait", "--json", job_id).stdout)["limits"]["timeout"] == 90


def test_an_account_that_is_not_there_is_refused(server: Jobd) -> None:
    code, out, err = say(server, "start", "--run-as", "no-such-account", "--", "/bin/true")
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")


def test_a_question_starts_nothing(server: Jobd) -> None:
    before = server.succeed("list", "-q", "--all")
    code, out, err = say(server, "can-i", "start", "--", "/bin/true")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"yes: .+\n", out)
    answer = json.loads(server.succeed("can-i", "start", "--json", "--", "/bin/true"))
    assert (answer["allowed"], answer["error"]) == (True, None)
    assert server.succeed("list", "-q", "--all") == before
