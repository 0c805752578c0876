"""Limits, causes and the policy by ``jobctl``, against a server whose answers are laid out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobworker.client import Client
from jobworker.client.profiles import Profile
from jobworker.errors import NoDeadline, TooManyJobs
from jobworker.limits import LIMITS
from support.small_server import FAILED, ID, Jobctl, Server, on_terminal, view

END = "2026-01-31T12:00:01Z"
DEADLINE = "2026-11-24T12:00:00.123456Z"
NO_LIMITS = dict.fromkeys(limit.field for limit in LIMITS)


def ended(cause: str, reason: str | None, **evidence: str | float) -> dict[str, Any]:
    return view(status="Failed", cause=cause, reason=reason, evidence=evidence, finishedAt=END)


def policy(*, allowed: bool, reason: str) -> dict[str, Any]:
    return {
        "allowed": allowed,
        "rule": "reports",
        "reason": reason,
        "runAs": None,
        "network": True,
        "limits": NO_LIMITS,
        "error": None,
    }


def why(jobctl: Jobctl, server: Server, job: dict[str, Any], *options: str) -> tuple[str, str]:
    server.answers[f"GET /jobs/{ID}"] = (200, job)
    done = jobctl("why", *options, ID)
    assert done.returncode == 0
    return done.stdout.decode(), done.stderr.decode()


def test_what_is_sent(jobctl: Jobctl, server: Server) -> None:
    server.answers["POST /jobs/start"] = (201, {"id": ID, "error": None})
    words = (
        "start --memory 512M --cpus 1.5 --pids 64 --open-files 256 --output 1G --tmp 2G --nice 10 "
        "--timeout 10m --grace 10s --no-network --run-as reports --containment full"
    )
    done = jobctl(*words.split(), "--", "/bin/x", "--memory", "1M")
    assert done.returncode == 0, done.stderr
    assert json.loads(server.seen[0].body) == {
        "program": "/bin/x",
        "args": ["--memory", "1M"],
        "timeout": 600,
        "grace": 10,
        "limits": {
            "memory": 2**29,
            "cpus": 1.5,
            "pids": 64,
            "openFiles": 256,
            "output": 2**30,
            "tmp": 2**31,
            "nice": 10,
        },
        "network": False,
        "runAs": "reports",
        "containment": "full",
    }


def test_why_tells_the_cause_and_its_evidence(jobctl: Jobctl, server: Server) -> None:
    reason = "out of memory (limit 64 MiB)"
    facts = {"memoryLimit": 67_108_864, "memoryPeak": 67_108_864, "oomKills": 1}
    out, err = why(jobctl, server, ended("oom", reason, **facts))
    assert err == ""
    assert out == (
        "Cause: oom\n"
        "Reason: out of memory (limit 64 MiB)\n"
        "Evidence:\n"
        "  memoryLimit: 64 MiB (67108864)\n"
        "  memoryPeak: 64 MiB (67108864)\n"
        "  oomKills: 1\n"
    )


def test_why_of_an_end_without_evidence(jobctl: Jobctl, server: Server) -> None:
    failed = "Cause: exited\nReason: exited with code 3\n"
    assert why(jobctl, server, FAILED) == (failed, "")
    success = view(status="Completed", cause="exited", exitCode=0, evidence={}, finishedAt=END)
    assert why(jobctl, server, success) == ("Cause: exited\nReason: exited with code 0\n", "")


def test_evidence_cannot_forge_a_line(jobctl: Jobctl, server: Server) -> None:
    out, _ = why(jobctl, server, ended("lost", "lost: x", bootId="a\nCause: oom\x1b"))
    assert out.splitlines()[-1] == r"  bootId: a\nCause: oom\x1b"


def test_why_of_a_job_that_has_not_ended(jobctl: Jobctl, server: Server) -> None:
    note = f"jobctl: job {ID} has not ended\n"
    assert why(jobctl, server, view()) == ("Status: Running\n", note)
    limited = "Status: Running\nDeadline: 2026-11-24T12:00:00Z\n"
    assert why(jobctl, server, view(deadline=DEADLINE)) == (limited, note)
    assert why(jobctl, server, view(status="Queued")) == ("Status: Queued\n", note)
    assert why(jobctl, server, view(), "-q") == ("", note)


def test_why_for_scripts(jobctl: Jobctl, server: Server) -> None:
    job = ended("timeout", "timed out after 1 s", timeout=1.0)
    assert why(jobctl, server, job, "-q") == ("timeout\n", "")
    assert json.loads(why(jobctl, server, job, "--json")[0]) == job


def test_the_status_shows_a_deadline_only_where_there_is_one(
    jobctl: Jobctl, server: Server
) -> None:
    server.answers[f"GET /jobs/{ID}"] = (200, view(deadline=DEADLINE))
    lines = f"ID: {ID}\nStatus: Running\nExit code: n/a\nDeadline: 2026-11-24T12:00:00Z\n"
    assert jobctl("status", ID).stdout.decode() == lines
    server.answers[f"GET /jobs/{ID}"] = (200, view(status="Queued"))
    assert jobctl("status", ID).stdout.decode() == f"ID: {ID}\nStatus: Queued\nExit code: n/a\n"


def test_extend_says_until_when(jobctl: Jobctl, server: Server) -> None:
    answer = {"id": ID, "deadline": DEADLINE, "error": None}
    server.answers[f"POST /jobs/{ID}/extend"] = (200, answer)
    sentence = f"Job with ID {ID} may run until 2026-11-24T12:00:00Z.\n"
    assert jobctl("extend", ID, "30m").stdout.decode() == sentence
    assert json.loads(server.seen[0].body) == {"seconds": 1800}
    assert jobctl("extend", "-q", ID, "1.5").stdout.decode() == f"{ID}\n"
    assert json.loads(jobctl("extend", ID, "1h", "--json").stdout) == answer


def test_extend_of_a_job_without_a_deadline(jobctl: Jobctl, server: Server) -> None:
    error = {"error": "Error: the job has no time limit", "code": "no_deadline"}
    server.answers[f"POST /jobs/{ID}/extend"] = (409, error)
    code, seen = on_terminal(jobctl, "extend", ID, "30m")
    first, hint = seen.splitlines()
    assert code == 1
    assert first == "Error: the job has no time limit"
    assert hint.startswith("hint: only a job that was started with a time limit")


def test_can_i(jobctl: Jobctl, server: Server) -> None:
    yes = policy(allowed=True, reason='rule "reports" allows it')
    server.answers["POST /policy/can-start"] = (200, yes)
    options = ("--env", "A=1", "--run-as", "reports", "--no-network")
    done = jobctl("can-i", "start", *options, "--", "/bin/x", "-q")
    assert (done.returncode, done.stdout) == (0, b'yes: rule "reports" allows it\n')
    assert json.loads(server.seen[0].body) == {
        "program": "/bin/x",
        "args": ["-q"],
        "env": {"A": "1"},
        "runAs": "reports",
        "network": False,
    }
    assert server.requests() == ["POST /policy/can-start"]
    assert jobctl("can-i", "-q", "start", "/bin/x").stdout == b"yes\n"
    assert json.loads(jobctl("can-i", "start", "--json", "/bin/x").stdout) == yes


def test_i_cannot(jobctl: Jobctl, server: Server) -> None:
    no = policy(allowed=False, reason='rule "reports" forbids it')
    server.answers["POST /policy/can-start"] = (200, no)
    for words in (["start", "/bin/x"], ["start", "--json", "/bin/x"], ["start", "-q", "/bin/x"]):
        assert jobctl("can-i", *words).returncode == 1
    assert jobctl("can-i", "start", "/bin/x").stdout == b'no: rule "reports" forbids it\n'


def test_can_i_start_has_its_help(jobctl: Jobctl, server: Server) -> None:
    shown = jobctl("can-i", "start", "--help")
    assert (shown.returncode, shown.stdout) == (0, jobctl("help", "can-i").stdout)
    assert server.requests() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "program_forbidden"),
        (422, "limit_unavailable"),
        (422, "limit_too_high"),
        (422, "isolation_unavailable"),
        (429, "too_many_jobs"),
    ],
)
def test_a_refusal_comes_with_what_to_do(
    jobctl: Jobctl, server: Server, status: int, code: str
) -> None:
    """Once: what to do about it is for people to decide, and nothing is tried again."""
    server.answers["POST /jobs/start"] = (status, {"error": "Error: no", "code": code})
    exits, seen = on_terminal(jobctl, "start", "/bin/x")
    first, hint = seen.splitlines()
    assert (exits, first, hint[:6]) == (1, "Error: no", "hint: ")
    assert server.requests() == ["POST /jobs/start"]


def test_the_library(server: Server, profile: Profile) -> None:
    server.answers["POST /jobs/start"] = (
        429,
        {"error": "Error: too many jobs are waiting already", "code": "too_many_jobs"},
    )
    server.answers[f"POST /jobs/{ID}/extend"] = (
        409,
        {"error": "Error: the job has no time limit", "code": "no_deadline"},
    )
    server.answers["POST /policy/can-start"] = (200, policy(allowed=True, reason="yes"))
    with Client(profile) as client:
        with pytest.raises(TooManyJobs, match="too many jobs are waiting already"):
            client.start("/bin/x", "a", timeout=1.5, limits={"memory": 2**20, "openFiles": 8})
        assert json.loads(server.seen[-1].body) == {
            "program": "/bin/x",
            "args": ["a"],
            "timeout": 1.5,
            "limits": {"memory": 2**20, "openFiles": 8},
        }
        with pytest.raises(NoDeadline):
            client.extend(ID, 60)
        assert json.loads(server.seen[-1].body) == {"seconds": 60}
        assert client.can_start("/bin/x", network=False)["rule"] == "reports"
        assert json.loads(server.seen[-1].body) == {
            "program": "/bin/x",
            "args": [],
            "network": False,
        }
