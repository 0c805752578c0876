"""SIGKILL of the server at the worst moments: no job is lost, none is left over (T20-T22)."""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from jobworker.client import RetryPolicy
from jobworker.client.client import Client
from jobworker.client.profiles import Profile
from jobworker.errors import ServerUnreachable
from support.adoption import everything_below
from support.calls import Calls
from support.gate import Gate, Life, opened
from support.jobd import Jobd
from support.supervisors import supervisor_of
from support.waiting import until

SLEEPER = ("/bin/sleep", "4711")
STARTERS = 16
ROUNDS = 10


def client_of(jobd: Jobd) -> Client:
    """A client that keeps its connection, as long as the server lives, and no longer."""
    token = jobd.succeed("token", "print").strip()
    profile = Profile("admin", server=jobd.url, ca=jobd.succeed("ca").strip(), token=token)
    return Client(profile, retry_policy=RetryPolicy(calls=0))


def all_jobs(jobd: Jobd) -> dict[str, dict[str, Any]]:
    jobs = json.loads(jobd.succeed("list", "--json", "--all"))["jobs"]
    return {job["id"]: job for job in jobs}


def spool(jobd: Jobd) -> set[str]:
    return set(os.listdir(jobd.state / "spool"))  # noqa: PTH208 - names are wanted


@pytest.fixture
def gate(shared_dir: Path) -> Iterator[Gate]:
    made = Gate(shared_dir / "gate")
    with opened(made):
        yield made


@pytest.fixture
def life(shared_dir: Path) -> Iterator[Life]:
    made = Life(shared_dir / "life")
    with opened(made):
        yield made


def test_t20_t21_kills_amid_concurrent_starts(jobd: Jobd) -> None:
    """After each restart the books are right: jobs, processes and directories are the same."""
    acknowledged: dict[str, str] = {}
    for round_ in range(ROUNDS):
        acknowledged |= start_until_killed(jobd, enough=1 + 7 * round_)
        jobd.start()
    jobs = all_jobs(jobd)
    assert len(acknowledged) >= ROUNDS * (1 + 7 * ROUNDS // 2) // 2
    assert acknowledged.keys() <= jobs.keys()
    running = {job_id for job_id, job in jobs.items() if job["status"] == "Running"}
    until(lambda: spool(jobd) == running)
    assert sleeping_processes() == {jobs[job_id]["pid"] for job_id in running}
    for job_id, program in acknowledged.items():
        if program == SLEEPER[0]:
            assert job_id in running
        else:
            check_that_it_ran_once(jobd, jobs[job_id])
    jobd.succeed("stop", *running)
    until(lambda: not spool(jobd))
    assert sleeping_processes() == set()


def start_until_killed(jobd: Jobd, *, enough: int) -> dict[str, str]:
    """Start long and short jobs from many threads and kill the server amid them.

    Returns the program of each job that was acknowledged.
    """
    acknowledged: dict[str, str] = {}
    time_to_kill = threading.Event()

    def start_jobs(client: Client) -> None:
        with suppress(ServerUnreachable), client:
            while True:
                for program, *args in (SLEEPER, ("/bin/sh", "-c", "echo $JOBD_JOB_ID")):
                    acknowledged[client.start(program, *args)["id"]] = program
                    if len(acknowledged) >= enough:
                        time_to_kill.set()

    clients = [client_of(jobd) for _ in range(STARTERS)]
    threads = [threading.Thread(target=start_jobs, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    assert time_to_kill.wait(30)
    jobd.kill()
    for thread in threads:
        thread.join()
    return acknowledged


def sleeping_processes() -> set[int]:
    return {pid for pid, text in everything_below().items() if text.split() == [*SLEEPER]}


def check_that_it_ran_once(jobd: Jobd, job: dict[str, Any]) -> None:
    """A short job that was acknowledged has ended well, and its whole output is there."""
    assert (job["status"], job["exitCode"]) == ("Completed", 0), job
    call = Calls.of(jobd, "admin")
    assert call.raw("GET", f"/jobs/{job['id']}/output/stdout")[2].decode() == f"{job['id']}\n"


def test_t22_each_way_to_end_while_no_server_runs(jobd: Jobd, gate: Gate, life: Life) -> None:
    """Codes and signals are the kernel's, and what nobody knows is told as lost."""
    hold = f"exec 9> {life}; echo up; read go < {gate}"
    endings = {
        "exit 0": ("Completed", 0, None, None),
        "exit 7": ("Failed", 7, None, "exited with code 7"),
        "exit 255": ("Failed", 255, None, "exited with code 255"),
        "kill -SEGV $$": ("Failed", None, "SIGSEGV", "killed by SIGSEGV"),
        "kill -TERM $$": ("Failed", None, "SIGTERM", "killed by SIGTERM"),
    }
    ids = {end: jobd.start_job("/bin/sh", "-c", f"{hold}; {end}") for end in endings}
    orphaned = jobd.start_job("/bin/sh", "-c", f"exec 9> {life}; echo up; exec sleep 1000")
    for job_id in (*ids.values(), orphaned):
        wait_for_output(jobd, job_id, "up")
    jobd.kill()
    for _ in endings:
        gate.open()
    os.kill(supervisor_of(jobd.state, orphaned), signal.SIGKILL)
    life.wait_for_end()
    jobd.start()
    for end, expected in endings.items():
        jobd.jobctl("wait", "-q", ids[end])
        job = json.loads(jobd.succeed("status", "--json", ids[end]))
        assert (job["status"], job["exitCode"], job["signal"], job["reason"]) == expected, end
    job = json.loads(jobd.jobctl("wait", "--json", orphaned).stdout)
    assert (job["status"], job["exitCode"]) == ("Failed", None)
    assert job["reason"] == "lost: its supervisor was killed"
    assert jobd.succeed("output", orphaned) == "Output:\nup\n"
    until(lambda: not spool(jobd))


def wait_for_output(jobd: Jobd, job_id: str, line: str) -> None:
    until(lambda: line in jobd.succeed("output", job_id).splitlines())


def test_t22_output_has_no_gap_and_no_repetition(jobd: Jobd, gate: Gate) -> None:
    """A job writes on while servers come and go; a follower resumes from where it was."""
    parts = 4
    script = f"for n in $(seq {parts}); do seq ${{n}}00000 ${{n}}60000; read go < {gate}; done"
    job_id = jobd.start_job("/bin/sh", "-c", script)
    received = b""
    for part in range(1, parts + 1):
        wanted = b"%d60000\n" % part
        received += follow(jobd, job_id, len(received), until_it_ends_with=wanted)
        if part < parts:
            jobd.kill()
            gate.open()  # it goes on to the next part while nobody listens
            jobd.start()
    gate.open()
    assert jobd.jobctl("wait", job_id).returncode == 0
    expected = "".join(f"{n}{m:05}\n" for n in range(1, parts + 1) for m in range(60_001))
    assert received == expected.encode()
    assert jobd.jobctl_bytes("logs", job_id).stdout == received


def follow(jobd: Jobd, job_id: str, offset: int, *, until_it_ends_with: bytes) -> bytes:
    host, port = jobd.listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=jobd.succeed("ca").strip())
    connection = HTTPSConnection(host, int(port), context=context, timeout=30)
    token = jobd.succeed("token", "print").strip()
    path = f"/jobs/{job_id}/output/stdout?follow=true&offset={offset}"
    received = b""
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        while not received.endswith(until_it_ends_with):
            received += answer.read1(65_536)
    finally:
        connection.close()
    return received


def test_kills_in_the_middle_of_a_stop(jobd: Jobd, gate: Gate) -> None:
    """The stop is on record, so its grace runs out without a server; SIGTERM came once."""
    script = f"trap 'echo term' TERM; echo up; while :; do read go < {gate}; done"
    job_id = jobd.start_job("/bin/sh", "-c", script)
    wait_for_output(jobd, job_id, "up")
    stop = threading.Thread(target=stop_and_be_cut_off, args=(jobd, job_id, 3))
    stop.start()
    wait_for_output(jobd, job_id, "term")
    for _ in range(2):
        jobd.kill()
        jobd.start()
    stop.join()
    assert jobd.jobctl("wait", "-q", job_id).returncode == 137
    job = json.loads(jobd.succeed("status", "--json", job_id))
    assert (job["status"], job["signal"]) == ("Stopped", "SIGKILL")
    assert job["reason"] == "stopped by admin"
    assert jobd.succeed("output", job_id) == "Output:\nup\nterm\n"


def stop_and_be_cut_off(jobd: Jobd, job_id: str, grace: int) -> None:
    with suppress(OSError, HTTPException):  # the server is killed before it answers
        Calls.of(jobd, "admin")("POST", f"/jobs/{job_id}/stop", {"grace": grace})


def test_a_stop_that_was_cut_off_can_be_made_sooner(jobd: Jobd, gate: Gate) -> None:
    """A grace of a day does not bind who comes after the restart."""
    script = f"trap 'echo term' TERM; echo up; while :; do read go < {gate}; done"
    job_id = jobd.start_job("/bin/sh", "-c", script)
    wait_for_output(jobd, job_id, "up")
    stop = threading.Thread(target=stop_and_be_cut_off, args=(jobd, job_id, 86_400))
    stop.start()
    wait_for_output(jobd, job_id, "term")
    jobd.kill()
    stop.join()
    jobd.start()
    assert jobd.succeed("status", job_id).splitlines()[1] == "Status: Running"
    assert jobd.succeed("stop", job_id) == f"Job with ID {job_id} stopped.\n"


def test_server_and_spawner_killed_together(jobd: Jobd) -> None:
    """As by an out-of-memory killer: the supervisors need neither."""
    job_id = jobd.start_job(*SLEEPER)
    spawner = parent_of(supervisor_of(jobd.state, job_id))
    jobd.kill()
    os.kill(spawner, signal.SIGKILL)
    jobd.start()
    assert "Status: Running" in jobd.succeed("status", job_id)
    assert jobd.succeed("stop", job_id) == f"Job with ID {job_id} stopped.\n"
    until(lambda: not spool(jobd))
    assert sleeping_processes() == set()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
