"""The spawner and its orders when something dies: each job runs once, or is told truthfully.

Whoever is to die is stopped first, so that it dies at the moment that is meant (T75-T77, T80).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobworker.supervisor import records
from support.calls import Calls
from support.gate import Gate, opened
from support.injection import injected
from support.jobd import Jobd, MakeJobd
from support.supervisors import children_of, spawner_of, supervisor_of
from support.waiting import until

JOBS = 12


def sections(jobd: Jobd, job_id: str) -> dict[str, records.Fields]:
    directory = records.open_directory(str(jobd.state / "spool" / job_id))
    try:
        return records.read(directory)
    finally:
        os.close(directory)


def spool(jobd: Jobd) -> set[str]:
    return set(os.listdir(jobd.state / "spool"))  # noqa: PTH208 - names are wanted


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def started(jobd: Jobd, *bodies: tuple[str, dict[str, object]]) -> Iterator[list[Future[int]]]:
    """Starts under way, each by its key; their statuses, or 0 where nobody answered."""
    call = Calls.of(jobd, "admin")

    def start(key: str, body: dict[str, object]) -> int:
        try:
            data = json.dumps(body).encode()
            return call.raw("POST", "/jobs/start", data, Idempotency_Key=key)[0]
        except OSError:
            return 0

    with ThreadPoolExecutor(len(bodies)) as pool:
        yield [pool.submit(start, key, body) for key, body in bodies]


def marking(marks: Path) -> dict[str, object]:
    return {"program": "/bin/sh", "args": ["-c", f"echo ran >> {marks}; exec sleep 1000"]}


def test_t75_orders_outlive_the_server_that_gave_them(
    make_jobd: MakeJobd, shared_dir: Path
) -> None:
    """It dies with an event unread, which the spawner hears of before it reads its orders."""
    config, gate, last = (
        shared_dir / "jobd.toml",
        Gate(shared_dir / "gate"),
        Gate(shared_dir / "last"),
    )
    config.write_text(f"[queue]\nmax-running = {JOBS + 1}\n")
    with opened(gate, last):
        jobd = make_jobd("--config", str(config))
        for wait_for in [gate] * JOBS + [last]:
            jobd.start_job("/bin/sh", "-c", f"read go < {wait_for}")
        before = spool(jobd)
        queued = {jobd.start_job("/bin/sleep", "1000") for _ in range(JOBS)}
        assert spool(jobd) == before
        with stopped(spawner_of(jobd)):
            for _ in range(JOBS):
                gate.open()
            until(lambda: queued <= spool(jobd))  # which is as good as ordered
            with stopped(jobd.pid):
                (one,) = {job_id for job_id in before if "exit" not in sections(jobd, job_id)}
                last.open()
                until(lambda: "exit" in sections(jobd, one))
                os.kill(jobd.pid, signal.SIGKILL)
            jobd.kill()
        jobd.start()
        running = set(jobd.succeed("list", "-q", "--status", "Running").split())
        assert running == queued


def test_t75_a_spawner_that_hangs_with_orders_keeps_no_server_from_starting(
    jobd: Jobd, shared_dir: Path
) -> None:
    """It is killed, and what it had not begun is told as that: its key is free."""
    jobd.succeed("run", "--", "/bin/true")  # by when it takes orders
    jobd.succeed("rm", *jobd.succeed("list", "-q").split())
    marks = shared_dir / "marks"
    marks.touch(0o666)
    marks.chmod(0o666)
    spawner = spawner_of(jobd)
    os.kill(spawner, signal.SIGSTOP)
    with started(jobd, ("one", marking(marks))) as (_,):
        until(lambda: len(spool(jobd)) == 1)
        jobd.kill()
    jobd.start()
    (job,) = json.loads(jobd.succeed("list", "--json"))["jobs"]
    assert job["reason"] == "lost: the server stopped before the program was started"
    with started(jobd, ("one", marking(marks))) as (again,):
        assert again.result() == 201
    until(lambda: marks.read_text() == "ran\n")


def test_t76_orders_outlive_the_spawner(jobd: Jobd, shared_dir: Path) -> None:
    """What it had not read is ordered anew, and runs once."""
    marks = shared_dir / "marks"
    marks.touch(0o666)
    marks.chmod(0o666)
    spawner = spawner_of(jobd)
    os.kill(spawner, signal.SIGSTOP)
    keys = [f"key-{number}" for number in range(JOBS)]
    with started(jobd, *((key, marking(marks)) for key in keys)) as under_way:
        until(lambda: len(spool(jobd)) == JOBS)
        os.kill(spawner, signal.SIGKILL)
        assert [each.result() for each in under_way] == [201] * JOBS
    until(lambda: marks.read_text() == "ran\n" * JOBS)
    assert len(jobd.succeed("list", "-q", "--status", "Running").split()) == JOBS


@pytest.mark.root
@pytest.mark.needs("strace")
def test_t76_a_supervisor_and_its_spawner_are_killed_after_the_exec(
    jobd: Jobd, shared_dir: Path
) -> None:
    """T77: before the start is on record nobody knows: it is lost, and its key stays bound."""
    marks = shared_dir / "marks"
    marks.touch(0o666)
    marks.chmod(0o666)
    spawner = spawner_of(jobd)
    # The second thing that a supervisor writes after its launch is that the program runs.
    with (
        injected(spawner, "write", "delay_enter=3000000:when=2+"),
        started(jobd, ("one", marking(marks))) as (start,),
    ):
        until(lambda: marks.read_text() == "ran\n")
        supervisors = children_of(spawner)
        os.kill(spawner, signal.SIGKILL)
        for pid in supervisors:
            os.kill(pid, signal.SIGKILL)
        assert start.result() == 201
    with started(jobd, ("one", marking(marks))) as (again,):
        assert again.result() == 201
    (job,) = json.loads(jobd.succeed("list", "--json"))["jobs"]
    assert job["status"] == "Failed"
    assert job["reason"].startswith("lost: its supervisor was killed before it had noted")
    assert marks.read_text() == "ran\n"


FAULTS = [
    ("write", "EIO"),
    ("writev", "EIO"),
    ("writev", "ENOSPC"),
    ("openat", "EMFILE"),
    ("openat", "EIO"),
    ("pidfd_open", "EMFILE"),
    ("read", "EIO"),
]


@pytest.mark.root
@pytest.mark.needs("strace")
@pytest.mark.parametrize(("call", "error"), FAULTS)
@pytest.mark.parametrize("level", ["full", "uid", "basic"])
def test_t77_a_program_that_ran_is_never_told_as_refused(
    make_jobd: MakeJobd, shared_dir: Path, level: str, call: str, error: str
) -> None:
    """Whichever call of a supervisor fails: one key, one run, however often it is sent."""
    jobd = make_jobd("--containment", level)
    outcomes = set()
    for number in range(1, 9):
        marks = shared_dir / f"marks-{number}"
        marks.touch(0o666)
        marks.chmod(0o666)
        body = marking(marks)
        # The delay lets the program run before the supervisor learns of the error.
        fault = f"error={error}:delay_enter=50000:when={number}"
        with (
            injected(spawner_of(jobd), call, fault),
            started(jobd, (f"key-{number}", body)) as (first,),
        ):
            status = first.result()
        with started(jobd, (f"key-{number}", body)) as (again,):
            assert again.result() == 201
        if status != 201:  # else the fault may have hit the program itself
            until(lambda marks=marks: marks.read_text() != "")  # type: ignore[misc]
        outcomes.add(status)
        known = jobd.succeed("list", "-q").split()
        assert len(known) == number, "the second start was another job though the first may run"
        assert marks.read_text() in ("", "ran\n"), (number, status)
        for job_id in jobd.succeed("list", "-q", "--status", "Running").split():
            jobd.jobctl("stop", job_id)
    assert 201 in outcomes
    assert outcomes <= {201, 503, 507}


def test_t80_a_spawner_that_hangs_is_told_and_replaced(jobd: Jobd) -> None:
    """A start does not wait without end: here it waits for another spawner."""
    call, old = Calls.of(jobd, "admin"), spawner_of(jobd)
    assert call("GET", "/readyz")[0] == 200
    os.kill(old, signal.SIGSTOP)
    body: dict[str, object] = {"program": "/bin/sleep", "args": ["1000"]}
    with started(jobd, ("one", body)) as (start,):
        status, answer = call("GET", "/readyz")
        assert status == 503
        assert "does not answer" in answer["error"]
        assert start.result() in (201, 503)
    assert spawner_of(jobd) != old
    assert call("GET", "/readyz")[0] == 200
    assert jobd.jobctl("run", "--", "/bin/true").returncode == 0


@pytest.mark.root
@pytest.mark.needs("strace")
@pytest.mark.parametrize("level", ["full", "uid", "basic"])
def test_a_stop_is_carried_out_though_the_machine_is_short_of_descriptors(
    make_jobd: MakeJobd, level: str
) -> None:
    """The supervisor is told once: it tries again to read its record, and to find processes."""
    jobd = make_jobd("--containment", level)
    job_id = jobd.succeed("start", "-q", "--", "/bin/sleep", "300").strip()
    supervisor = supervisor_of(jobd.state, job_id)
    with injected(supervisor, "openat", "error=ENFILE:when=1..3"):
        jobd.succeed("stop", job_id)
        jobd.jobctl("wait", job_id)
    (job,) = json.loads(jobd.succeed("list", "--json"))["jobs"]
    assert (job["status"], job["reason"]) == ("Stopped", "stopped by admin")
