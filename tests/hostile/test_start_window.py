"""A job against the supervisor that starts it, or another job of its user (T60)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from jobworker.client.client import Client
from jobworker.client.profiles import Profile
from jobworker.errors import JobNotRunning
from support.jobd import Jobd
from support.levels import working
from support.supervisors import supervisor_of
from support.waiting import until

from .conftest import Compile

STARTS = 30
SLEEPER = ("/bin/sleep", "1000")
HUNT = "600"
"""Seconds that the hunter goes on, if it is not stopped: longer than any test."""


@contextmanager
def hunted(server: Jobd, compiled: Compile, number: signal.Signals) -> Iterator[Client]:
    """A client of the user whose job sends that signal to whatever looks like a supervisor."""
    hunter = server.start_job(compiled("hunter"), str(int(number)), HUNT, "spawner")
    until(lambda: "ready" in server.succeed("output", hunter))
    token, ca = server.succeed("token", "print").strip(), server.succeed("ca").strip()
    with Client(Profile("admin", server=server.url, ca=ca, token=token)) as client:
        yield client
    server.succeed("stop", hunter)


@pytest.mark.parametrize("level", working("full", "uid", "namespaces"))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_t60_a_job_cannot_hit_the_supervisor_of_its_users_next_job(
    server: Jobd, compiled: Compile, number: signal.Signals
) -> None:
    """Each start is answered, no job is lost, and each can be stopped.

    What is the user's own may be hit: the program, or the process that is about to execute it.
    """
    with hunted(server, compiled, number) as client:
        ids = [client.start(*SLEEPER)["id"] for _ in range(STARTS)]
        for job_id in ids:
            with suppress(JobNotRunning):
                client.stop(job_id)
        for job_id in ids:
            job = client.status(job_id)
            assert job["reason"] in ("stopped by admin", f"killed by {number.name}"), job


@pytest.mark.parametrize("level", working("uid"))
def test_t60_a_time_limit_holds_though_the_start_was_disturbed(
    server: Jobd, compiled: Compile
) -> None:
    with hunted(server, compiled, signal.SIGSTOP) as client:
        ids = [client.start(*SLEEPER, timeout=1)["id"] for _ in range(STARTS // 3)]
        assert {client.wait(job_id)["cause"] for job_id in ids} == {"timeout"}


@pytest.mark.parametrize("level", working("full", "uid", "namespaces"))
@pytest.mark.parametrize(
    "limits",
    [(), ("--nice", "1"), ("--open-files", "100")],
    ids=["spawned", "spawned by a thread", "forked"],
)
def test_t60_a_program_has_no_power_over_its_supervisor(
    server: Jobd, compiled: Compile, limits: tuple[str, ...]
) -> None:
    """From its first instruction on; signals that the kernel lets pass have no effect."""
    rebel = compiled("rebel")
    for _ in range(STARTS // 6):
        job_id = server.succeed("start", "-q", *limits, "--", rebel).strip()
        until(lambda job_id=job_id: "done" in server.succeed("output", job_id))  # type: ignore[misc]
        told = dict(line.split() for line in server.succeed("output", job_id).splitlines()[1:-1])
        allowed = {way for way, times in told.items() if times != "0"}
        assert allowed <= {"killed", "stopped", "thread"}, told
        supervisor = supervisor_of(server.state, job_id)
        assert os.getpriority(os.PRIO_PROCESS, supervisor) == os.getpriority(os.PRIO_PROCESS, 0)
        assert os.sched_getscheduler(supervisor) == os.SCHED_OTHER
        server.succeed("stop", job_id)
        assert json.loads(server.succeed("status", "--json", job_id))["status"] == "Stopped"


@pytest.mark.parametrize("level", working("uid"))
def test_t60_no_signal_to_the_supervisor_is_allowed_without_a_namespace(
    server: Jobd, compiled: Compile
) -> None:
    job_id = server.start_job(compiled("rebel"))
    until(lambda: "done" in server.succeed("output", job_id))
    told = server.succeed("output", job_id).splitlines()[1:-1]
    assert {line.split()[1] for line in told} == {"0"}, told


def test_t60_a_supervisor_that_was_stopped_goes_on(server: Jobd) -> None:
    """Its parent has it go on, whoever stopped it: here the administrator."""
    job_id = server.start_job(*SLEEPER)
    for _ in range(3):
        os.kill(supervisor_of(server.state, job_id), signal.SIGSTOP)
        server.succeed("status", job_id)
    server.succeed("stop", job_id)
