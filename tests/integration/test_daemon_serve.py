"""The real ``jobd``, as an operator runs it: first start, second server, stop."""

import json
import os
import pty
import re
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machine import BUDGET, READY, Machine, jobd

NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


@pytest.fixture
def nobodys(shared_dir: Path) -> Iterator[Machine]:
    """The home of another account."""
    os.chown(shared_dir, 65534, 65534)
    machine = Machine(shared_dir)
    yield machine
    machine.close()


def modes(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode)
        for path in directory.rglob("*")
    }


def test_the_first_start_makes_all_that_is_needed(machine: Machine) -> None:
    url = machine.serve()
    assert machine.profile("admin")["server"] == url
    assert machine.get("admin", "/me") == 200
    assert machine.stop() == 0


def test_what_only_the_first_start_needs_does_not_stay_in_memory(machine: Machine) -> None:
    """cryptography is one library; Alembic would be found by its modules alone."""
    machine.serve()
    mapped = Path(f"/proc/{machine.started[-1].pid}/maps").read_text()
    assert "_granian" in mapped
    assert "cryptography" not in mapped


def threads(pid: int) -> set[str]:
    return {task.read_text().strip() for task in Path(f"/proc/{pid}/task").glob("*/comm")}


@pytest.mark.parametrize(("setting", "has_thread"), [(None, True), ("narenas:1", False)])
def test_the_memory_of_connections_is_given_back_unless_the_operator_has_set_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, setting: str | None, *, has_thread: bool
) -> None:
    """By a thread of jemalloc's, which is there where it was told in time."""
    monkeypatch.delenv("_RJEM_MALLOC_CONF", raising=False)
    if setting:
        monkeypatch.setenv("_RJEM_MALLOC_CONF", setting)
    machine.serve()
    assert ("jemalloc_bg_thd" in threads(machine.started[-1].pid)) is has_thread


def test_everything_is_private_whatever_the_umask(machine: Machine) -> None:
    machine.serve(umask=0)
    made = modes(machine.state) | modes(machine.profiles.parent)
    assert {"jobd.db", "tls", "tls/ca.key", "tls/server.pem", "lock", "config.json"} <= set(made)
    assert {name: oct(mode) for name, mode in made.items() if mode & 0o077} == {}
    assert stat.S_IMODE(machine.state.stat().st_mode) == 0o700


def test_a_second_start_finds_what_is_there(machine: Machine) -> None:
    machine.serve()
    token = machine.profile("admin")["token"]
    assert machine.stop() == 0
    url = machine.serve()
    assert machine.profile("admin")["token"] == token
    assert machine.get("admin", "/me", url) == 200


def test_a_second_server_is_refused_and_the_first_goes_on(machine: Machine) -> None:
    """T56."""
    machine.serve()
    second = machine.run("serve", "--listen", "127.0.0.1:0")
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.splitlines()[-1].startswith("jobd: cannot serve: ")
    assert str(machine.state) in second.stderr
    assert machine.get("admin", "/me") == 200


def test_an_address_that_is_not_ours_is_told_in_one_line(machine: Machine) -> None:
    """One that another process has for now is waited for (tests/hostile/test_port.py)."""
    refused = machine.run("serve", "--listen", "192.0.2.1:8443")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("jobd: cannot listen on 192.0.2.1:8443: ")
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_exits_with_0_and_takes_the_address_along(
    machine: Machine, number: signal.Signals
) -> None:
    machine.serve()
    assert (machine.state / "address").exists()
    machine.started[-1].send_signal(number)
    assert machine.started[-1].wait(BUDGET) == 0
    assert not (machine.state / "address").exists()
    assert "Traceback" not in machine.log.read_text()


def test_a_killed_server_leaves_nothing_in_the_way(machine: Machine) -> None:
    machine.serve()
    machine.started[-1].kill()
    machine.started[-1].wait()
    url = machine.serve()
    assert machine.get("admin", "/me", url) == 200


def forget_everything_but(*names: str) -> Callable[[Machine], None]:
    def forget(machine: Machine) -> None:
        for path in (machine.state / "tls").iterdir():
            if path.name not in names:
                path.unlink()

    return forget


def forget_the_users(machine: Machine) -> None:
    """As if the first start had been killed after the profile, before the commit."""
    for name in ("jobd.db", "jobd.db-wal", "jobd.db-shm"):
        (machine.state / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    "undo",
    [
        forget_everything_but(),
        forget_everything_but("ca.key"),
        forget_everything_but("ca.key", "ca.pem"),
        forget_the_users,
    ],
)
def test_a_first_start_that_was_killed_is_finished_by_the_next(
    machine: Machine, undo: Callable[[Machine], None]
) -> None:
    machine.serve()
    machine.stop()
    undo(machine)
    url = machine.serve()
    assert machine.get("admin", "/me", url) == 200


def test_a_first_start_that_cannot_store_the_profile_is_finished_by_the_next(
    machine: Machine,
) -> None:
    machine.profiles.parent.parent.mkdir()
    machine.profiles.parent.write_text("a file in the way")
    failed = machine.run("serve", "--listen", "127.0.0.1:0")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "jobd: cannot use" in failed.stderr
    machine.profiles.parent.unlink()
    machine.serve()
    assert machine.get("admin", "/me") == 200


def test_an_account_without_the_profile_is_told_and_given_nothing(machine: Machine) -> None:
    machine.serve()
    machine.stop()
    machine.profiles.unlink()
    machine.serve()
    assert not machine.profiles.exists()
    assert "jobd user add NAME --role admin" in machine.log.read_text()


@pytest.mark.parametrize("bits", [0o777, 0o720])
def test_a_state_that_others_may_write_is_refused(machine: Machine, bits: int) -> None:
    machine.state.mkdir()
    machine.state.chmod(bits)
    refused = machine.run("serve")
    assert refused.returncode == 1
    assert refused.stderr.startswith("jobd: cannot use the state directory")
    assert [*machine.state.iterdir()] == []


@pytest.mark.root
def test_a_level_that_cannot_be_had_stops_the_start(nobodys: Machine) -> None:
    refused = nobodys.run("serve", "--containment", "full", **NOBODY)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("jobd: cannot serve: containment level full is not available here")
    assert "root" in last


def close_streams(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def spoil_signals() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})


@pytest.mark.parametrize("spoil", [close_streams(0), close_streams(0, 2), spoil_signals])
def test_it_works_however_it_was_started(machine: Machine, spoil: Callable[[], None]) -> None:
    """T54: and so do its jobs, which a signal can end."""
    machine.serve(preexec_fn=spoil)
    job = machine.jobctl("run", "--", "/bin/sh", "-c", "sleep 0 & wait; echo on; kill $$; echo off")
    assert (job.stdout, job.returncode) == ("on\n", 128 + signal.SIGTERM), job.stderr
    assert machine.stop() == 0
    assert_nothing_was_written_into_the_wrong_file(machine)


def test_it_works_without_standard_output(machine: Machine) -> None:
    """T54: the log tells that it is ready."""
    server = machine.start(
        stdout=None, stderr=subprocess.PIPE, preexec_fn=close_streams(0, 1), bufsize=0
    )
    assert server.stderr
    assert any(b'"message": "ready"' in line for line in iter(server.stderr.readline, b""))
    assert machine.get("admin", "/me") == 200
    assert machine.stop() == 0
    assert_nothing_was_written_into_the_wrong_file(machine)


def assert_nothing_was_written_into_the_wrong_file(machine: Machine) -> None:
    """A database opened as descriptor 1 would have got the ready line."""
    assert (machine.state / "jobd.db").read_bytes().startswith(b"SQLite format 3\0")
    for path in machine.state.rglob("*"):
        assert not path.is_file() or READY.encode() not in path.read_bytes()


def test_commands_work_with_all_streams_closed(machine: Machine) -> None:
    """T54."""
    machine.serve()
    code = subprocess.run(
        jobd("user", "add", "user1"),
        env=machine.environ, preexec_fn=close_streams(0, 1, 2), timeout=BUDGET, check=False,
    ).returncode  # fmt: skip
    assert code == 0
    assert machine.get("user1", "/me") == 200


def test_session_keys_are_written_nowhere(machine: Machine) -> None:
    machine.serve()
    assert machine.get("admin", "/me") == 200
    assert not (machine.home / "keylog").exists()


def test_no_secret_gets_out(machine: Machine) -> None:
    """T42: not by the log, the command line, the environment, nor what commands print."""
    machine.serve()
    printed = machine.succeed("user", "add", "user1") + machine.succeed("user", "list")
    assert machine.get("user1", "/me") == 200
    pid = machine.started[-1].pid
    proc = Path(f"/proc/{pid}")
    shown = (proc / "cmdline").read_bytes()
    if os.geteuid() == 0:
        shown += (proc / "environ").read_bytes()
    else:  # the server forbids it to everybody else
        with pytest.raises(PermissionError):
            (proc / "environ").read_bytes()
    machine.stop()
    printed += machine.log.read_text() + shown.decode()
    stored = b"".join(path.read_bytes() for path in machine.state.rglob("*") if path.is_file())
    for name in ("admin", "user1"):
        secret = machine.profile(name)["token"][16:59]
        assert secret not in printed
        assert secret.encode() not in stored


@pytest.mark.root
def test_a_job_of_the_servers_own_account_cannot_read_its_tokens(nobodys: Machine) -> None:
    """T1, from the very first start on, before which there was no file to hide."""
    nobodys.serve("--containment", "namespaces", **NOBODY)
    for path in (nobodys.profiles, nobodys.state / "tls" / "server.pem"):
        assert path.stat().st_uid == NOBODY["user"]
        read = nobodys.jobctl("run", "--", "/bin/cat", str(path), **NOBODY)
        assert (read.stdout, read.returncode) == ("", 1)
        assert "No such file" in read.stderr


@pytest.mark.root
def test_others_of_the_same_account_cannot_look_inside(nobodys: Machine) -> None:
    """T4: its memory, environment and descriptors are root's, whatever account it runs as."""
    nobodys.serve("--containment", "basic", **NOBODY)
    proc = Path(f"/proc/{nobodys.started[-1].pid}")
    assert {(proc / name).stat().st_uid for name in ("environ", "mem", "fd")} == {0}
    assert nobodys.get("admin", "/me") == 200
    assert nobodys.stop() == 0


def entries(machine: Machine) -> list[dict[str, Any]]:
    return [json.loads(line) for line in machine.log.read_text().splitlines()]


def test_the_log_tells_of_each_start_and_each_end(machine: Machine) -> None:
    """By job and program, and by no argument, which may be a secret."""
    machine.serve()
    ran = machine.jobctl("run", "--timeout", "0.5", "--", "/bin/sh", "-c", "sleep 60; : secret")
    assert ran.returncode == 124
    assert machine.stop() == 0
    (start,) = [each for each in entries(machine) if each.get("path") == "/jobs/start"]
    (end,) = [each for each in entries(machine) if each["message"] == "job ended"]
    assert (start["program"], start["status"]) == ("/bin/sh", 201)
    assert end["job"] == start["job"]
    assert (end["owner"], end["program"], end["cause"]) == ("admin", "/bin/sh", "timeout")
    assert (end["status"], end["reason"]) == ("Failed", "timed out after 0.5 s")
    assert 0.4 < end["seconds"] < BUDGET
    assert "secret" not in machine.log.read_text()


def test_on_a_terminal_the_log_is_plain_lines(machine: Machine) -> None:
    """As docs/reference/jobd.md says."""
    controller, terminal = pty.openpty()
    try:
        machine.serve(stderr=terminal)
        assert machine.jobctl("run", "--", "/bin/true").returncode == 0
        assert machine.stop() == 0
        shown = os.read(controller, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert re.search(
        r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info    ready address=", shown, re.MULTILINE
    )
    assert re.search(r" info    job ended job=j-\S+ owner=admin program=/bin/true ", shown)
    assert "{" not in shown
