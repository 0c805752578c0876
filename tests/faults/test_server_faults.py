"""A server under odd circumstances, and what a crowd of jobs leaves behind (T47, T53-T57)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobworker.client.client import Client
from jobworker.client.profiles import Profile
from support.adoption import everything_below
from support.jobd import Jobd, MakeJobd
from support.supervisors import spawner_of
from support.waiting import until

SPOILED_START = """
import os, signal, sys
os.umask(0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
os.close(0)
os.close(2)
os.execv(sys.argv[1], sys.argv[1:])
"""

CLIENTS = 16
JOBS_EACH = 625
KEPT_CONNECTIONS = CLIENTS + 4
"""A descriptor for each connection that is not closed yet, and the archive's readers."""


def spool(jobd: Jobd) -> list[str]:
    return os.listdir(jobd.state / "spool")  # noqa: PTH208 - names are wanted


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names are wanted


def test_t53_ten_thousand_short_jobs_leave_nothing(jobd: Jobd) -> None:
    jobd.succeed("run", "--", "/bin/echo", "opens what is opened once")
    spawner = spawner_of(jobd)
    processes = set(everything_below())
    # Only root can look into a server that forbids inspection.
    watched = (jobd.pid, spawner) if os.geteuid() == 0 else ()
    before = {pid: descriptors(pid) for pid in watched}
    token, ca = jobd.succeed("token", "print").strip(), jobd.succeed("ca").strip()
    started: list[str] = []

    def start_jobs() -> None:
        with Client(Profile("admin", server=jobd.url, ca=ca, token=token)) as client:
            started.extend(client.start("/bin/true")["id"] for _ in range(JOBS_EACH))

    threads = [threading.Thread(target=start_jobs) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(started)) == CLIENTS * JOBS_EACH
    jobd.succeed("wait", "-q", *started[-CLIENTS:])
    until(lambda: not spool(jobd))
    completed = set(jobd.succeed("list", "-q", "--all", "--status", "Completed").split())
    assert set(started) < completed
    until(lambda: set(everything_below()) <= processes)
    if watched:
        until(lambda: descriptors(jobd.pid) <= before[jobd.pid] + KEPT_CONNECTIONS)
        assert descriptors(spawner) == before[spawner]
    children = Path(f"/proc/{spawner}/task/{spawner}/children")
    until(lambda: children.read_text() == "")  # it would list a zombie, too
    assert left_in_machine_directories(set(started)) == set()


def left_in_machine_directories(job_ids: set[str]) -> set[str]:
    names = {path.name for place in ("/tmp", "/dev/shm") for path in Path(place).iterdir()}
    return names & {f"jobd-{job_id}" for job_id in job_ids}


@pytest.mark.parametrize("level", ["full", "basic"])
@pytest.mark.root
def test_t54_a_spoiled_start_spoils_no_job(make_jobd: MakeJobd, level: str) -> None:
    """Input and errors closed, SIGCHLD ignored, SIGTERM blocked, umask 0: all at once."""
    jobd = make_jobd("--containment", level, wrapper=(sys.executable, "-c", SPOILED_START))
    script = "umask; sleep 0 & wait $!; echo $?; kill -TERM $$; echo survived"
    done = jobd.jobctl("run", "--", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "0077\n0\n")
    job_id = jobd.start_job("/bin/sh", "-c", "exit 9")
    assert jobd.jobctl("wait", job_id).returncode == 9
    open_to_others = [path for path in jobd.state.rglob("*") if path.lstat().st_mode & 0o022]
    assert open_to_others == []
    assert jobd.stop() == 0


def test_t55_a_crash_is_named_and_leaves_no_core(jobd: Jobd) -> None:
    """A real one, by a bad address; the shell around it tells whether the kernel dumped."""
    crash = "import ctypes; ctypes.string_at(0)"
    script = (
        "import os, sys\n"
        "pid = os.posix_spawn(sys.executable, [sys.executable, '-c', sys.argv[1]], os.environ)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "print(os.WTERMSIG(status), os.WCOREDUMP(status), os.listdir('.'))\n"
    )
    python = "/usr/bin/python3"
    done = jobd.jobctl("run", "--cwd", "/tmp", "--", python, "-c", script, crash)
    assert done.stdout == f"{int(signal.SIGSEGV)} False []\n", done.stderr
    job_id = jobd.start_job(python, "-c", crash)
    assert jobd.jobctl("wait", job_id).returncode == 128 + signal.SIGSEGV
    assert jobd.succeed("status", job_id).splitlines()[1:] == [
        "Status: Failed",
        "Exit code: n/a",
        "Reason: killed by SIGSEGV",
    ]
    raised = jobd.jobctl("run", "--", "/bin/sh", "-c", "ulimit -c unlimited")
    assert raised.returncode != 0


def test_t56_a_second_server_is_refused(jobd: Jobd) -> None:
    """The first and its jobs do not notice."""
    job_id = jobd.start_job("/bin/sleep", "1000")
    second = jobd.jobd("serve", "--listen", "127.0.0.1:0")
    assert (second.returncode, second.stdout) == (1, "")
    last = second.stderr.splitlines()[-1]
    assert last == f"jobd: cannot serve: another server has the lock of {jobd.state}"
    assert "Traceback" not in second.stderr
    assert "Status: Running" in jobd.succeed("status", job_id)
    jobd.succeed("stop", job_id)


@pytest.fixture(params=["full", "namespaces"])
def walled(make_jobd: MakeJobd, request: pytest.FixtureRequest) -> Jobd:
    """A server at a level that promises a boundary, as the account that it is for."""
    account = None if request.param == "full" else 65534
    return make_jobd("--containment", request.param, account=account)


@pytest.mark.root
def test_t57_a_job_finds_no_way_to_the_service(walled: Jobd) -> None:
    """The operator's socket lies where it cannot reach, no other has a name, no port but the API's.

    Its name in ``/proc/net/unix`` goes by way of a descriptor, and says nothing of the place.
    """
    script = (
        "exec 2> /dev/null; ls -A /proc/1/fd /proc/1/cwd/ /proc/1/root/;"
        f"ls -A {walled.state}; cat {walled.state}/jobd.db; (echo > {walled.state}/x) && echo made;"
        f"cat {walled.home}/config/jobctl/config.json; ls {walled.state}/jobd.sock;"
        "kill -9 1; echo alive; exec sleep 1000"
    )
    job_id = walled.start_job("/bin/sh", "-c", script)
    until(lambda: "alive" in walled.succeed("output", job_id))
    assert walled.succeed("output", "--stdout", job_id) == "Output:\nalive\n"
    sockets = sockets_of({walled.pid, *everything_below()})
    (name,) = names_of_unix_sockets(sockets)
    assert re.fullmatch(r"/proc/self/fd/\d+/jobd\.sock", name)
    assert listening_ports(sockets) == {int(walled.listen.rsplit(":", 1)[1])}
    walled.succeed("stop", job_id)


def sockets_of(pids: set[int]) -> set[str]:
    """The inodes of the sockets that processes hold; a supervisor's and a spawner's, too."""
    found = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(fd)  # noqa: PTH115 - no file
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    assert found
    return found


def names_of_unix_sockets(inodes: set[str]) -> set[str]:
    """Paths and abstract names (proc(5), /proc/net/unix)."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    fields = [line.split(maxsplit=7) for line in lines]
    return {field[7] for field in fields if field[6] in inodes and len(field) == 8}


def listening_ports(inodes: set[str]) -> set[int]:
    """TCP ports in the state LISTEN (proc(5), /proc/net/tcp)."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {
        int(line[1].rpartition(":")[2], 16)
        for line in lines
        if line[3] == "0A" and line[9] in inodes
    }


@pytest.mark.needs("openssl")
def test_t47_only_tls_1_3_is_spoken(jobd: Jobd) -> None:
    host, port = jobd.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    ca = jobd.succeed("ca").strip()
    for option, expected in (("-tls1_2", 1), ("-tls1_3", 0)):
        command = ["openssl", "s_client", "-connect", jobd.listen, "-CAfile", ca, option]
        done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=30)
        assert done.returncode == expected, option
    assert json.loads(jobd.succeed("whoami", "--json"))["name"] == "admin"
