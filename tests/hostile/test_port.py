"""A job takes the server's port while that restarts; the operator's own way to it (T63)."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from jobworker.client import AsyncClient, Client, Profile
from jobworker.errors import ServerUnreachable
from jobworker.model import Level
from support.calls import Calls
from support.directories import make_directory
from support.jobd import Jobd, MakeJobd
from support.levels import account_for, working
from support.small_server import Jobctl, on_terminal
from support.waiting import until

PROGRAMS = Path(__file__).with_name("programs")

NOBODY = "https://127.0.0.1:1"
"""An address at which nobody listens."""


HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Hand descriptor N to a command as a service manager does."""


@pytest.fixture
def thief(shared_dir: Path) -> list[str]:
    """The command of a program that takes a port."""
    copy = shared_dir / "port.py"
    copy.write_text((PROGRAMS / "port.py").read_text())
    return ["/usr/bin/python3", "-I", str(copy)]


@pytest.fixture
def far() -> Iterator[Jobd]:
    """A server whose state has a longer path than a socket may."""
    home = make_directory("jobd-")
    jobd = Jobd(home, "--state", str(home / ("s" * 120)))
    jobd.state = home / ("s" * 120)
    try:
        jobd.start()
        yield jobd
        jobd.close()
    finally:
        jobd.abandon()
        shutil.rmtree(home)


def has_been_taken(port: int) -> bool:
    """Whether somebody else answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(5) == b"mine\n"
    except OSError:
        return False


def profile_of(jobd: Jobd, **changes: str | None) -> Profile:
    token, ca = jobd.succeed("token", "print").strip(), jobd.succeed("ca").strip()
    fields = {"server": jobd.url, "socket": str(jobd.state / "jobd.sock")} | changes
    server = fields["server"]
    assert server
    return Profile("admin", server=server, ca=ca, token=token, socket=fields["socket"])


def test_t63_a_job_that_takes_the_port_is_named_and_stopped_and_the_server_comes_back(
    server: Jobd, level: Level, thief: list[str]
) -> None:
    """The operator stops it with the ``jobctl`` that is always there."""
    port = int(server.listen.rpartition(":")[2])
    job_id = server.start_job(*thief, str(port))
    server.kill()
    until(lambda: has_been_taken(port))
    starting = Thread(target=server.start)
    starting.start()
    try:
        until(lambda: "trying again until it is free" in server.log.read_text())
        if level in ("full", "uid"):
            assert f"which says it is of job {job_id}" in server.log.read_text()
        assert server.succeed("status", job_id).startswith(f"ID: {job_id}\nStatus: Running")
        assert server.jobctl("stop", job_id).returncode == 0
    finally:
        starting.join()
    assert Calls.of(server, "admin")("GET", "/me")[0] == 200


def test_t63_a_server_that_waits_for_its_port_can_be_stopped(
    jobd: Jobd,
) -> None:
    port = int(jobd.listen.rpartition(":")[2])
    assert jobd.stop() == 0
    with socket.create_server(("127.0.0.1", port)):
        starting = Thread(target=pytest.raises, args=(AssertionError, jobd.start))
        jobd.log.write_text("")
        starting.start()
        until(lambda: "trying again until it is free" in jobd.log.read_text())
        until(lambda: jobd.jobctl("list").returncode == 0)
        assert jobd.stop() == 0
        starting.join()
    jobd.start()


@pytest.mark.parametrize("level", working("full", "namespaces", "uid"))
def test_t63_no_job_reaches_the_operators_socket(server: Jobd) -> None:
    path = server.state / "jobd.sock"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = server.jobctl("run", "--", "/usr/bin/python3", "-I", "-c", code)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr or "PermissionError" in done.stderr
    code = code.replace(str(path), f"/proc/{server.pid}/cwd/state/jobd.sock")
    assert server.jobctl("run", "--", "/usr/bin/python3", "-I", "-c", code).returncode == 1


def test_t63_the_socket_speaks_tls_and_wants_a_token_as_the_address_does(jobd: Jobd) -> None:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(30)
        plain.connect(str(jobd.state / "jobd.sock"))
        plain.sendall(b"GET /me HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(4096).startswith(b"HTTP")
    assert jobd.jobd("user", "add", "alice").returncode == 0
    jobd.variables["JOBCTL_SERVER"] = f"unix:{jobd.state}/jobd.sock"
    assert jobd.succeed("whoami", user="alice").startswith("alice")
    assert jobd.jobd("token", "revoke", "alice").returncode == 0
    refused = jobd.jobctl("whoami", user="alice")
    assert refused.returncode == 1
    assert "bad authentication" in refused.stderr


def test_t63_the_socket_serves_whatever_has_become_of_the_address(jobd: Jobd) -> None:
    """Both clients say so once; input goes that way, too."""
    told: list[str] = []
    profile = profile_of(jobd, server=NOBODY)
    with Client(profile, on_detour=told.append) as client:
        assert client.whoami()["name"] == "admin"
        job_id = client.start("/bin/echo", "hello")["id"]
        assert client.wait(job_id)["status"] == "Completed"
    assert [sentence.partition(": ")[0] for sentence in told] == [f"cannot reach {NOBODY}"]
    assert str(jobd.state / "jobd.sock") in told[0]

    async def ask() -> str:
        async with AsyncClient(profile, on_detour=told.append) as client:
            return (await client.whoami())["name"]

    assert asyncio.run(ask()) == "admin"
    assert len(told) == 2
    jobd.variables["JOBCTL_SERVER"] = f"unix:{jobd.state}/jobd.sock"
    assert jobd.jobctl("run", "-i", "--", "/bin/cat", stdin="typed\n").stdout == "typed\n"


def test_t63_an_address_that_was_asked_for_is_not_gone_around(jobd: Jobd) -> None:
    profile = profile_of(jobd, server=NOBODY, socket=None)
    jobd.variables["JOBCTL_SERVER"] = NOBODY
    assert "connection refused" in jobd.jobctl("list").stderr
    del jobd.variables["JOBCTL_SERVER"]
    with (
        Client(profile) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.whoami()


def test_t63_a_socket_that_was_asked_for_is_not_gone_around(jobd: Jobd) -> None:
    path = jobd.home / "none.sock"
    jobd.variables["JOBCTL_SERVER"] = f"unix:{path}"
    refused = jobd.jobctl("list")
    del jobd.variables["JOBCTL_SERVER"]
    assert refused.returncode == 1
    assert f"cannot reach the server by {path}: nobody answers there" in refused.stderr


def test_t63_a_terminal_is_told_of_the_detour_and_a_pipe_is_not(jobd: Jobd) -> None:
    path = jobd.home / "config" / "jobctl" / "config.json"
    before = path.read_text()
    path.write_text(before.replace(jobd.url, NOBODY))
    code, seen = on_terminal(Jobctl(jobd.environ), "whoami")
    piped = jobd.jobctl("whoami")
    path.write_text(before)
    assert code == 0
    assert f"hint: cannot reach {NOBODY}: connection refused; going by the server's own" in seen
    assert (piped.returncode, piped.stderr) == (0, "")


def test_t63_a_state_with_a_long_path_has_its_socket(far: Jobd) -> None:
    assert len(os.fsencode(far.state / "jobd.sock")) > 107
    with Client(profile_of(far, server=NOBODY)) as client:
        assert client.whoami()["name"] == "admin"


def test_t63_a_socket_that_the_service_manager_holds_stays_where_it_is() -> None:
    """Who connects while the server is away waits, and is served by the next one."""
    home = make_directory("jobd-")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        jobd = Jobd(home, wrapper=(sys.executable, "-c", HAND_OVER, str(listener.fileno())))
        jobd.inherits = (listener.fileno(),)
        try:
            jobd.start()
            assert jobd.url.endswith(f":{listener.getsockname()[1]}")
            call = Calls.of(jobd, "admin")
            jobd.kill()
            answers: list[int] = []
            asking = Thread(target=lambda: answers.append(call("GET", "/me")[0]))
            asking.start()
            jobd.start()
            asking.join()
            assert answers == [200]
            assert jobd.jobctl("run", "--", "/bin/sh", "-c", "echo $LISTEN_FDS").stdout == "\n"
            jobd.close()
        finally:
            jobd.abandon()
            shutil.rmtree(home)


def test_what_the_service_manager_hands_over_must_be_a_socket_that_listens(jobd: Jobd) -> None:
    assert jobd.stop() == 0
    jobd.wrapper = (sys.executable, "-c", HAND_OVER, "0")
    with pytest.raises(AssertionError):
        jobd.start()
    assert "cannot listen on what the service manager has handed over" in jobd.log.read_text()
    jobd.wrapper = ()
    jobd.start()


def test_an_operators_socket_does_not_outlast_its_use(make_jobd: MakeJobd, level: Level) -> None:
    """One that a killed server has left is replaced; its file is no reason not to start."""
    jobd = make_jobd("--containment", level, account=account_for(level))
    jobd.kill()
    assert (jobd.state / "jobd.sock").is_socket()
    jobd.start()
    jobd.variables["JOBCTL_SERVER"] = f"unix:{jobd.state}/jobd.sock"
    assert jobd.succeed("whoami").startswith("admin")
