"""A disk that breaks under the state: the cause is said, and jobs can be stopped (T78)."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.disks import BreakableDisk, server_on
from support.injection import injected
from support.jobd import Jobd, MakeJobd
from support.levels import AS_ROOT, working
from support.supervisors import supervisor_of
from support.waiting import until

pytestmark = pytest.mark.root  # a disk is mounted

GRACEFUL = 'trap "echo asked; exit 3" TERM; while :; do sleep 0.1; done'


@pytest.fixture(params=working(*AS_ROOT))
def server(
    request: pytest.FixtureRequest, breakable_disk: BreakableDisk, make_jobd: MakeJobd
) -> Jobd:
    jobd = server_on(breakable_disk.path, make_jobd, "--containment", request.param)
    jobd.variables["JOBCTL_PATIENCE"] = "0s"  # each refusal is wanted once
    return jobd


def readiness(server: Jobd) -> tuple[int, str]:
    """The status of ``/readyz`` and the cause that it names."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", context=context) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]


def break_and_notice(server: Jobd, disk: BreakableDisk) -> None:
    """Let the disk break; the server notices by a write."""
    assert readiness(server) == (200, "")
    disk.break_()
    until(lambda: readiness(server)[0] == 503)


def told(server: Jobd, *words: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(server.jobctl(*words).stdout)
    return answer


def test_t78_a_broken_disk_is_named_and_jobs_can_be_read_and_stopped(
    server: Jobd, breakable_disk: BreakableDisk
) -> None:
    running = server.start_job("/bin/sh", "-c", "echo said; exec sleep 300")
    until(lambda: server.succeed("output", running) == "Output:\nsaid\n")
    supervisor = supervisor_of(server.state, running)
    break_and_notice(server, breakable_disk)
    status, cause = readiness(server)
    assert status == 503
    assert "database" in cause
    refused = told(server, "start", "--json", "--", "/bin/true")
    assert refused["code"] == "storage_unavailable"
    assert str(refused["error"]).startswith("Error: cannot ")
    assert server.succeed("output", running) == "Output:\nsaid\n"
    assert told(server, "status", "--json", running)["status"] == "Running"
    assert server.jobctl("stop", running).returncode == 0
    stopped = told(server, "status", "--json", running)
    assert (stopped["status"], stopped["reason"]) == ("Stopped", "stopped by admin")
    until(lambda: not Path(f"/proc/{supervisor}").exists())
    assert told(server, "rm", "--json", running)["code"] == "storage_unavailable"
    log = server.log.read_text()
    assert "this is a bug" not in log
    assert "Traceback" not in log


def test_t78_a_stop_on_a_broken_disk_heeds_its_grace(
    server: Jobd, breakable_disk: BreakableDisk
) -> None:
    running = server.start_job("/bin/sh", "-c", GRACEFUL)
    stubborn = server.start_job("/bin/sh", "-c", 'trap "" TERM; while :; do sleep 0.1; done')
    break_and_notice(server, breakable_disk)
    assert server.jobctl("stop", "--grace", "60s", running).returncode == 0
    assert told(server, "status", "--json", running)["exitCode"] == 3
    assert server.jobctl("stop", "--grace", "1s", stubborn).returncode == 0
    for job_id in (running, stubborn):
        assert told(server, "status", "--json", job_id)["reason"] == "stopped by admin"


def test_t78_what_is_in_the_database_can_be_read_though_the_disk_broke_at_once(
    server: Jobd, breakable_disk: BreakableDisk
) -> None:
    """Nothing that it takes is in the kernel's memory alone, half a minute long."""
    ended = server.start_job("/bin/true")
    server.jobctl("wait", ended)
    breakable_disk.break_at_once()
    until(lambda: readiness(server)[0] == 503)
    for _ in range(5):
        assert told(server, "status", "--json", ended)["status"] == "Completed"
        assert ended in server.succeed("list", "-q", "--all", "--status", "Completed")


@pytest.mark.needs("strace")
def test_t78_a_disk_that_fails_for_a_while_is_told_from_a_full_one(jobd: Jobd) -> None:
    """SQLite has one code for both. Once it works again, so do starts."""
    jobd.variables["JOBCTL_PATIENCE"] = "0s"
    running = jobd.start_job("/bin/sleep", "300")
    with injected(jobd.pid, "pwrite64", "error=EIO"):
        until(lambda: readiness(jobd)[0] == 503)
        assert told(jobd, "start", "--json", "--", "/bin/true")["code"] == "storage_unavailable"
        assert jobd.jobctl("stop", running).returncode == 0
        assert told(jobd, "status", "--json", running)["status"] == "Stopped"
    until(lambda: readiness(jobd)[0] == 200)
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0
    assert "this is a bug" not in jobd.log.read_text()


@pytest.mark.needs("strace")
def test_t78_a_broken_spool_refuses_starts_with_the_cause(jobd: Jobd) -> None:
    jobd.variables["JOBCTL_PATIENCE"] = "0s"
    with injected(jobd.pid, "mkdirat", "error=EROFS"):
        refused = told(jobd, "start", "--json", "--", "/bin/true")
    assert refused["code"] == "storage_unavailable"
    assert "Read-only file system" in str(refused["error"])
