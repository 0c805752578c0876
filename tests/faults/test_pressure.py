"""A machine that is short of something: starts fail in words, and nothing is left (T25, T52).

The faults are injected by strace into the real spawner and its supervisors, system call by
system call, and by a real small disk.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.adoption import everything_below
from support.gate import Gate, Life, opened
from support.injection import injected
from support.jobd import Jobd, MakeJobd
from support.supervisors import spawner_of, supervisor_of
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.needs("strace")]

LEVELS = ["full", "uid", "basic"]


def spool(jobd: Jobd) -> list[str]:
    return os.listdir(jobd.state / "spool")  # noqa: PTH208 - names are wanted


def scratch() -> set[str]:
    places = (Path("/tmp"), Path("/dev/shm"))
    return {path.name for place in places for path in place.glob("jobd-j-*")}


FAULTS = {
    "the supervisor's clone": ("clone", "error=EAGAIN", 503),
    "no memory for it": ("clone", "error=ENOMEM", 503),
    "the output pipes": ("pipe2", "error=EMFILE", 503),
    "the report of the program's exec": ("pipe2", "error=EMFILE:when=3", 503),
    "the scratch directory": ("mkdirat", "error=ENOSPC", 507),
    "its owner": ("fchown", "error=EIO", 503),
}


NOT_CALLED = {
    ("fchown", "basic"),
}
"""Calls that a start at that level does without."""


@pytest.fixture(scope="module", params=LEVELS)
def server(request: pytest.FixtureRequest, make_module_jobd: MakeJobd) -> Jobd:
    jobd = make_module_jobd("--containment", request.param)
    jobd.variables["JOBCTL_PATIENCE"] = "0s"  # each refusal is wanted once
    return jobd


LIMITS = {"without limits": (), "under limits": ("--memory", "64M", "--pids", "20")}


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("fault", FAULTS)
def test_t52_a_start_that_fails_half_way_leaves_nothing(
    server: Jobd, fault: str, limits: str
) -> None:
    """And the next one works."""
    calls, what, status = FAULTS[fault]
    spawner = spawner_of(server)
    before, left_before = set(everything_below()), scratch()
    descriptors = os.listdir(f"/proc/{spawner}/fd")  # noqa: PTH208 - names are wanted
    with injected(spawner, calls, what):
        done = server.jobctl("start", "--json", *LIMITS[limits], "--", "/bin/sleep", "300")
    if (calls, server.options[1]) in NOT_CALLED:
        assert done.returncode == 0, "it is not called at this level"
        server.succeed("stop", json.loads(done.stdout)["id"])
    else:
        answer = json.loads(done.stdout)
        assert answer["code"] == {507: "storage_full", 503: answer["code"]}[status], answer
        # Where root can fork and the user could not, it is the user who has too many.
        codes = ("storage_full", "service_unavailable", "start_failed", "too_many_jobs")
        assert answer["code"] in codes
        assert answer["error"].startswith("Error: ")
        assert "internal" not in answer["error"]
    until(lambda: spool(server) == [])
    until(lambda: set(everything_below()) <= before)
    until(lambda: scratch() <= left_before)
    assert os.listdir(f"/proc/{spawner}/fd") == descriptors  # noqa: PTH208 - names are wanted
    assert server.succeed("list", "-q", "--status", "Running") == ""
    assert server.jobctl("run", *LIMITS[limits], "--", "/bin/true").returncode == 0
    assert "Traceback" not in server.log.read_text()


def test_t52_whichever_open_fails_the_start_is_refused_or_works(server: Jobd) -> None:
    """Each open of a supervisor in turn, up to one that it does not come to."""
    spawner = spawner_of(server)
    before, left_before = set(everything_below()), scratch()
    assert server.jobctl("run", "--", "/bin/true").returncode == 0
    refused = 0
    for number in range(1, 16):
        with injected(spawner, "openat", f"error=EMFILE:when={number}"):
            done = server.jobctl("run", "--json", "--", "/bin/true")
        answer = json.loads(done.stdout)
        assert answer.get("code", "service_unavailable") == "service_unavailable", number
        refused += done.returncode != 0
    assert 3 <= refused < 15
    until(lambda: spool(server) == [])
    until(lambda: set(everything_below()) <= before)
    until(lambda: scratch() <= left_before)
    assert server.jobctl("run", "--", "/bin/true").returncode == 0
    assert "Traceback" not in server.log.read_text()


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[None]:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
def on_a_small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "6m"):
        yield tmp_path / "disk"


def fill(disk: Path) -> Path:
    """Use up every block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def on(disk: Path, make_jobd: MakeJobd) -> Jobd:
    jobd = make_jobd("--state", str(disk / "state"))
    jobd.state = disk / "state"
    return jobd


def test_t25_a_full_disk_refuses_starts_and_nothing_else(
    make_jobd: MakeJobd, on_a_small_disk: Path
) -> None:
    """Reads, stops and ends go on; with room again, so do starts."""
    jobd = on(on_a_small_disk, make_jobd)
    done = jobd.start_job("/bin/echo", "before")
    assert jobd.jobctl("wait", done).returncode == 0
    running = jobd.start_job("/bin/sleep", "300")
    filler = fill(on_a_small_disk)
    refused = jobd.jobctl("start", "--json", "--", "/bin/true")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "storage_full")
    assert jobd.succeed("output", done) == "Output:\nbefore\n"
    assert jobd.jobctl("stop", running).returncode == 0
    assert json.loads(jobd.succeed("status", "--json", running))["status"] == "Stopped"
    filler.unlink()
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0
    assert "Traceback" not in jobd.log.read_text()
    jobd.close()


def test_t25_an_end_on_a_full_disk_is_not_lost_though_no_server_runs(
    make_jobd: MakeJobd, on_a_small_disk: Path, shared_dir: Path
) -> None:
    gate, life = Gate(shared_dir / "gate"), Life(shared_dir / "life")
    with opened(gate, life):
        jobd = on(on_a_small_disk, make_jobd)
        script = 'exec 3>"$2"; read line <"$1"; exit 5'
        job_id = jobd.start_job("/bin/sh", "-c", script, "sh", str(gate), str(life))
        jobd.kill()
        filler = fill(on_a_small_disk)
        gate.open()
        life.wait_for_end()
        filler.unlink()
        jobd.start()
        assert jobd.jobctl("wait", job_id).returncode == 5
    jobd.close()


def test_t52_a_record_that_cannot_be_written_is_tried_again(
    make_jobd: MakeJobd, shared_dir: Path
) -> None:
    """Where the room that was kept does not help: the supervisor stays until it has written."""
    gate, life = Gate(shared_dir / "gate"), Life(shared_dir / "life")
    with opened(gate, life):
        jobd = make_jobd()
        script = 'exec 3>"$2"; read line <"$1"; exit 5'
        job_id = jobd.start_job("/bin/sh", "-c", script, "sh", str(gate), str(life))
        supervisor = supervisor_of(jobd.state, job_id)
        jobd.kill()
        with injected(supervisor, "fdatasync", "error=ENOSPC:when=1"):
            gate.open()
            life.wait_for_end()
            jobd.start()
            assert jobd.jobctl("wait", job_id).returncode == 5


def test_t25_a_broken_disk_under_the_output_does_not_lose_the_end(
    jobd: Jobd, shared_dir: Path
) -> None:
    gate = Gate(shared_dir / "gate")
    with opened(gate):
        script = 'echo said; read line <"$1"; exit 5'
        job_id = jobd.start_job("/bin/sh", "-c", script, "sh", str(gate))
        with injected(supervisor_of(jobd.state, job_id), "fdatasync", "error=EIO:when=1"):
            gate.open()
            assert jobd.jobctl("wait", job_id).returncode == 5
    job = json.loads(jobd.succeed("status", "--json", job_id))
    assert job["evidence"] == {"outputError": "Input/output error"}


def test_t35_a_server_without_descriptors_refuses_and_recovers(jobd: Jobd) -> None:
    running = jobd.start_job("/bin/sleep", "300")
    with injected(jobd.pid, "mkdirat", "error=EMFILE"):
        refused = jobd.jobctl("start", "--json", "--", "/bin/true")
    assert json.loads(refused.stdout)["code"] == "service_unavailable"
    assert jobd.jobctl("stop", running).returncode == 0
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0
