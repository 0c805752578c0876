"""The server dies, or is started oddly, at the worst moments; no job is lost or left over."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.adoption import everything_below
from support.calls import Calls
from support.jobd import Jobd


def jobs_in(jobd: Jobd) -> set[str]:
    return set(jobd.succeed("list", "-q", "--all").split())


def spool(jobd: Jobd) -> set[str]:
    return {path.name for path in (jobd.state / "spool").iterdir()}


def until(condition: object, budget: float = 15.0) -> None:
    """Wait for a condition that nothing announces."""
    assert callable(condition)
    deadline = time.monotonic() + budget
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)  # between two looks; the condition decides


def test_t21_no_acknowledged_start_is_lost_to_a_kill(jobd: Jobd) -> None:
    """SIGKILL amid 16 concurrent starts, again and again; then the books are compared."""
    acknowledged: set[str] = set()
    for _ in range(5):
        acknowledged |= start_until_killed(jobd)
        jobd.start()
    assert len(acknowledged) > 20
    assert acknowledged <= jobs_in(jobd)
    running = set(jobd.succeed("list", "-q", "--all", "--status", "Running").split())
    until(lambda: spool(jobd) == running)
    for job_id in running:
        jobd.succeed("stop", job_id)
    until(lambda: not spool(jobd))
    until(lambda: not any("sleep 4711" in text for text in everything_below().values()))


def start_until_killed(jobd: Jobd) -> set[str]:
    """Kill the server once a few starts were answered; returns what was acknowledged."""
    call = Calls.of(jobd, "admin")
    answered: list[str] = []
    enough = threading.Event()

    def start_jobs() -> None:
        body = {"program": "/bin/sleep", "args": [4711]}
        try:
            for _ in range(20):
                status, answer = call("POST", "/jobs/start", body)
                assert status == 201, answer
                answered.append(answer["id"])
                if len(answered) >= 8:
                    enough.set()
        except (OSError, ValueError):
            pass  # the server is dead, as it should be
        except Exception as error:  # noqa: BLE001 - http.client has many for a cut answer
            assert type(error).__module__ == "http.client", error  # noqa: PT017

    threads = [threading.Thread(target=start_jobs) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    jobd.kill()
    for thread in threads:
        thread.join()
    return set(answered)


def test_a_kill_in_the_middle_of_a_stop(jobd: Jobd) -> None:
    """The stop was recorded, so it is carried out."""
    script = "trap '' TERM; echo up; while :; do sleep 1; done"
    job_id = jobd.start_job("/bin/sh", "-c", script)
    until(lambda: "up" in jobd.succeed("output", job_id))
    record = jobd.state / "spool" / job_id / "record"
    stopping = threading.Thread(target=jobd.jobctl, args=("stop", "--grace", "1s", job_id))
    stopping.start()
    until(lambda: b"end=stop" in record.read_bytes())
    jobd.kill()
    stopping.join()
    jobd.start()
    assert jobd.jobctl("wait", job_id).returncode == 137
    assert "stopped by admin" in jobd.succeed("status", job_id)


def test_t53_ten_thousand_short_jobs_leave_nothing(jobd: Jobd) -> None:
    before = set(everything_below())
    descriptors = Path(f"/proc/{jobd.pid}/fd")
    jobd.succeed("run", "--", "/bin/true")
    open_before = len(list(descriptors.iterdir()))

    def run_jobs() -> None:
        call = Calls.of(jobd, "admin")
        for _ in range(625):
            status, answer = call("POST", "/jobs/start", {"program": "/bin/true"})
            assert status == 201, answer
            job_id = answer["id"]
            assert call("GET", f"/jobs/{job_id}?wait=60")[1]["status"] == "Completed"

    threads = [threading.Thread(target=run_jobs) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs_in(jobd)) == 16 * 625 + 1
    until(lambda: not spool(jobd))
    until(lambda: set(everything_below()) <= before)
    until(lambda: len(list(descriptors.iterdir())) <= open_before + 8)  # idle connections


def test_t55_a_crash_is_named_and_leaves_no_core(jobd: Jobd) -> None:
    script = "cd /tmp; ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls /tmp; kill -SEGV $$"
    job_id = jobd.start_job("/bin/sh", "-c", script)
    assert jobd.jobctl("wait", job_id).returncode == 128 + signal.SIGSEGV
    assert "Reason: killed by SIGSEGV" in jobd.succeed("status", job_id)
    assert jobd.jobctl_bytes("logs", "--stdout", job_id).stdout == b""


def test_t56_a_second_server_is_refused(jobd: Jobd) -> None:
    second = jobd.jobd("serve", "--listen", "127.0.0.1:0")
    assert second.returncode == 1
    assert "in charge of" in second.stderr
    assert "Traceback" not in second.stderr
    assert jobd.succeed("list") == ""


@pytest.mark.root
def test_t57_a_job_finds_no_way_to_the_supervisor(jobd: Jobd) -> None:
    """No abstract socket of ours, no listening port but the API's, no file of the spool."""
    script = (
        "grep -c '@.*job' /proc/net/unix; ls /proc/1/fd /proc/1/cwd/ 2>/dev/null;"
        f"ls {jobd.state} 2>/dev/null; kill -0 1 2>/dev/null && echo reached; true"
    )
    job_id = jobd.start_job("/bin/sh", "-c", script)
    jobd.jobctl("wait", job_id)
    assert jobd.jobctl_bytes("logs", job_id).stdout == b"0\n"
    assert listening_ports(jobd.pid) == {int(jobd.listen.rsplit(":", 1)[1])}


def listening_ports(pid: int) -> set[int]:
    """TCP ports that a process and its descendants listen on (proc(5), net/tcp)."""
    inodes = set()
    for process in {pid, *everything_below()}:
        try:
            for fd in Path(f"/proc/{process}/fd").iterdir():
                inodes.add(str(fd.readlink()))
        except OSError:
            continue
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_t47_only_tls_1_3_is_spoken(jobd: Jobd) -> None:
    host, port = jobd.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    old = subprocess.run(
        ["openssl", "s_client", "-connect", jobd.listen, "-tls1_2"],
        input=b"", capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert old.returncode != 0
    assert b"alert" in old.stderr
