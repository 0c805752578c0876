"""A server on a disk without a free byte: it starts, and takes back nothing that it said (T74)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.disks import MIB, MakeDisk, fill, free, server_on
from support.gate import Gate, opened
from support.jobd import Jobd, MakeJobd
from support.waiting import until

pytestmark = pytest.mark.root  # a disk is mounted

SIZE = 64 * MIB

ONE_AT_A_TIME = "[queue]\nmax-running = 1\n"


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, make_disk: MakeDisk) -> Path:
    return make_disk(request.param, SIZE)


@pytest.fixture
def server(disk: Path, make_jobd: MakeJobd) -> Jobd:
    """Runs one job at a time."""
    jobd = server_on(disk, make_jobd, config=ONE_AT_A_TIME)
    jobd.variables["JOBCTL_PATIENCE"] = "0s"  # each refusal is wanted once
    return jobd


@pytest.fixture
def gate(shared_dir: Path) -> Iterator[Gate]:
    made = Gate(shared_dir / "gate")
    with opened(made):
        yield made


def status(server: Jobd, job_id: str) -> str:
    told: str = json.loads(server.succeed("status", "--json", job_id))["status"]
    return told


def behind_a_gate(server: Jobd, gate: Gate) -> str:
    return server.start_job("/bin/sh", "-c", 'read line <"$1"', "sh", str(gate))


def test_t74_a_queued_job_whose_turn_comes_on_a_full_disk_stays_queued(
    server: Jobd, disk: Path, gate: Gate
) -> None:
    """It, and what it is to read, wait until there is room; then all start in order."""
    first = behind_a_gate(server, gate)
    queued = server.jobctl(
        "start", "-q", "--stdin", "-", "--", "/bin/cat", stdin="kept\n"
    ).stdout.strip()
    after = server.start_job("/bin/echo", "after")
    filler = fill(disk)
    gate.open()
    assert server.jobctl("wait", first).returncode == 0
    until(lambda: "cannot start queued job" in server.log.read_text())
    assert [status(server, job_id) for job_id in (queued, after)] == ["Queued", "Queued"]
    server.restart()
    until(lambda: server.log.read_text().count("cannot start queued job") > 1)
    assert [status(server, job_id) for job_id in (queued, after)] == ["Queued", "Queued"]
    filler.unlink()
    for job_id in (queued, after):
        assert server.jobctl("wait", job_id).returncode == 0
    assert server.succeed("output", "--raw", queued) == "kept\n"
    times = [json.loads(server.succeed("status", "--json", each)) for each in (queued, after)]
    assert times[0]["startedAt"] < times[1]["startedAt"]
    assert "Traceback" not in server.log.read_text()


def test_t74_a_queued_job_starts_as_soon_as_a_removal_has_made_room(
    server: Jobd, disk: Path, gate: Gate
) -> None:
    large = server.start_job("/usr/bin/head", "-c", str(8 * MIB), "/dev/zero")
    assert server.jobctl("wait", large).returncode == 0
    first = behind_a_gate(server, gate)
    queued = server.start_job("/bin/true")
    fill(disk)
    gate.open()
    assert server.jobctl("wait", first).returncode == 0
    until(lambda: "cannot start queued job" in server.log.read_text())
    server.succeed("rm", large)
    assert server.jobctl("wait", queued).returncode == 0


def test_t74_a_queued_job_that_is_stopped_on_a_full_disk_never_runs(
    server: Jobd, disk: Path, gate: Gate
) -> None:
    """Not after a restart, either."""
    first = behind_a_gate(server, gate)
    queued = server.start_job("/bin/true")
    filler = fill(disk)
    assert server.jobctl("stop", queued).returncode == 0
    server.restart()
    assert status(server, queued) == "Stopped"
    filler.unlink()
    gate.open()
    assert server.jobctl("wait", first).returncode == 0
    assert status(server, queued) == "Stopped"


def test_t74_a_server_starts_without_a_free_byte(server: Jobd, disk: Path) -> None:
    """Also where it had no time to close its database: all that works is read, stop and rm."""
    large = server.start_job("/usr/bin/head", "-c", str(8 * MIB), "/dev/zero")
    assert server.jobctl("wait", large).returncode == 0
    running = server.start_job("/bin/sleep", "300")
    for end in (server.stop, server.kill):
        end()
        filler = fill(disk)
        assert free(disk) == 0
        server.start()
        assert status(server, large) == "Completed"
        assert status(server, running) == "Running"
        filler.unlink()
    server.stop()
    fill(disk)
    server.start()
    refused = server.jobctl("start", "--json", "--", "/bin/true")
    assert json.loads(refused.stdout)["code"] == "storage_full"
    server.succeed("stop", running)
    server.succeed("rm", running, large)
    assert server.succeed("list", "-q") == ""
    assert free(disk) > 6 * MIB
    assert server.jobctl("run", "--", "/bin/true").returncode == 0
    assert "Traceback" not in server.log.read_text()


def test_t74_the_first_start_on_a_full_disk_says_why_it_cannot(disk: Path, jobd: Jobd) -> None:
    fill(disk)
    done = jobd.jobd("serve", "--state", str(disk / "state"), "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "o space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1
