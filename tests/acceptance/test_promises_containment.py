"""Promise 13 and T28: where a job cannot be walled off as asked, its program is not run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jobworker.model import Level
from support.calls import Calls
from support.jobd import Jobd, MakeJobd
from support.levels import account_for

pytestmark = pytest.mark.root

NOBODY = 65534
WARNING = (
    "containment level basic: jobs run as the server's own user and can reach its files, "
    "each other and the server; run jobd only for people you trust"
)

OWN_USER_NAMESPACE = """
import ctypes, os, sys
asked, mapped = os.pipe(), os.pipe()
server = os.getpid()
if os.fork() == 0:
    os.read(asked[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{server}/{name}", "w") as file:
            file.write("0 0 65536")
    os.write(mapped[1], b".")
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(asked[1], b".")
os.read(mapped[0], 1)
os.wait()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Be root of a user namespace with 65,536 users, as in a container, and go on as told.

Limits that are set in it hold for it only, so that no other test meets them.
"""

SET_LIMIT = """
import ctypes, os, sys
pid, limit, value = sys.argv[1:]
assert ctypes.CDLL(None).setns(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY), 0) == 0
with open(f"/proc/sys/user/{limit}", "w") as file:
    file.write(value)
"""
"""Set a limit in the user namespace of another process (namespaces(7))."""

LIMITS = ("max_user_namespaces", "max_pid_namespaces", "max_mnt_namespaces", "max_ipc_namespaces")
PLENTY = "1000"


def as_root_of_a_container() -> tuple[str, ...]:
    return (sys.executable, "-c", OWN_USER_NAMESPACE)


def as_user_of_a_container(*commands: str) -> tuple[str, ...]:
    script = "; ".join((*commands, 'exec "$@"'))
    return ("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh")


def without(limit: str) -> str:
    return f"echo 0 > /proc/sys/user/{limit}"


def set_limit(jobd: Jobd, limit: str, value: str) -> None:
    command = [sys.executable, "-c", SET_LIMIT, str(jobd.pid), limit, value]
    subprocess.run(command, check=True)


def level_of(jobd: Jobd, job_id: str) -> str:
    level: str = json.loads(jobd.succeed("status", "--json", job_id))["containment"]
    return level


def logged(jobd: Jobd, level: str) -> list[str]:
    """The messages of the server's log at one level."""
    lines = map(json.loads, jobd.log.read_text().splitlines())
    return [line["message"] for line in lines if line["level"] == level]


@pytest.fixture
def marker(shared_dir: Path) -> Path:
    """A file that no program has made yet; every user may make it."""
    shared_dir.chmod(0o777)
    return shared_dir / "executed"


NO_SYS_ADMIN = ("setpriv", "--bounding-set", "-sys_admin")
NO_USER_NAMESPACES = as_user_of_a_container(without("max_user_namespaces"))


@pytest.mark.parametrize("level", ["full", "namespaces", "uid", "basic"])
def test_a_level_by_name(make_jobd: MakeJobd, level: Level) -> None:
    server = make_jobd("--containment", level, account=account_for(level))
    job_id = server.start_job("/bin/true")
    assert json.loads(server.succeed("status", "--json", job_id))["containment"] == level
    warned = "run jobd only for people you trust" in server.log.read_text()
    assert warned == (level == "basic")


@pytest.mark.parametrize(
    ("account", "wrapper", "level"),
    [
        (None, (), "full"),
        (None, NO_SYS_ADMIN, "uid"),
        (NOBODY, (), "namespaces"),
        (NOBODY, NO_USER_NAMESPACES, "basic"),
    ],
    ids=["root", "root in a plain container", "a user", "a user without namespaces"],
)
def test_t28_auto_takes_the_strongest_that_works(
    make_jobd: MakeJobd, account: int | None, wrapper: tuple[str, ...], level: str
) -> None:
    server = make_jobd(account=account, wrapper=wrapper)
    job_id = server.start_job("/bin/sh", "-c", "echo done")
    assert server.jobctl("wait", job_id).returncode == 0
    assert json.loads(server.succeed("status", "--json", job_id))["containment"] == level
    log = server.log.read_text()
    assert f"containment level is {level}" in log
    assert ("run jobd only for people you trust" in log) == (level == "basic")


@pytest.mark.parametrize(
    ("account", "wrapper", "level"),
    [
        (NOBODY, (), "full"),
        (NOBODY, (), "uid"),
        (None, NO_SYS_ADMIN, "full"),
        (NOBODY, NO_USER_NAMESPACES, "namespaces"),
    ],
)
def test_t28_what_was_asked_for_and_is_disabled_stops_the_start(
    make_jobd: MakeJobd, account: int | None, wrapper: tuple[str, ...], level: str
) -> None:
    complaint = f"jobd: cannot serve: containment level {level} is not available here: it needs"
    with pytest.raises(AssertionError, match=complaint) as refused:
        make_jobd("--containment", level, account=account, wrapper=wrapper)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("limit", LIMITS)
def test_t28_a_user_without_one_kind_of_namespace(make_jobd: MakeJobd, limit: str) -> None:
    """Asked for by name the level is refused; ``auto`` falls to basic and says what it means."""
    wrapper = as_user_of_a_container(without(limit))
    complaint = "containment level namespaces is not available here: it needs unprivileged user"
    with pytest.raises(AssertionError, match=complaint):
        make_jobd("--containment", "namespaces", account=NOBODY, wrapper=wrapper)
    jobd = make_jobd(account=NOBODY, wrapper=wrapper)
    job_id = jobd.start_job("/bin/true")
    assert level_of(jobd, job_id) == "basic"
    assert logged(jobd, "warning")[0] == WARNING


@pytest.mark.parametrize("capability", ["setuid", "setgid"])
def test_t28_root_that_cannot_change_users(make_jobd: MakeJobd, capability: str) -> None:
    wrapper = ("setpriv", "--bounding-set", f"-{capability}")
    for level in ("full", "uid"):
        complaint = f"containment level {level} is not available here: it needs root"
        with pytest.raises(AssertionError, match=complaint):
            make_jobd("--containment", level, wrapper=wrapper)


@pytest.mark.parametrize("limit", [name for name in LIMITS if "user" not in name])
def test_t28_full_is_lost_while_the_server_runs(
    make_jobd: MakeJobd, marker: Path, limit: str
) -> None:
    jobd = make_jobd("--containment", "full", wrapper=as_root_of_a_container())
    check_that_nothing_is_run_without(limit, jobd, marker)


@pytest.mark.parametrize("limit", LIMITS)
def test_t28_namespaces_are_lost_while_the_server_runs(
    make_jobd: MakeJobd, marker: Path, limit: str
) -> None:
    jobd = make_jobd(account=NOBODY, wrapper=as_user_of_a_container())
    check_that_nothing_is_run_without(limit, jobd, marker)


def check_that_nothing_is_run_without(limit: str, jobd: Jobd, marker: Path) -> None:
    """A start is refused whole, in words; once the kernel allows it again all is well."""
    call = Calls.of(jobd, "admin")
    request = {"program": "/bin/sh", "args": ["-c", f"echo > {shlex.quote(str(marker))}; echo on"]}
    set_limit(jobd, limit, "0")
    status, answer = call("POST", "/jobs/start", request)
    assert (status, answer["code"]) == (503, "start_failed")
    assert answer["error"].startswith("Error: the job could not be started: clone")
    assert not marker.exists()
    assert call("GET", "/jobs") == (200, {"jobs": [], "next": None, "error": None})
    assert os.listdir(jobd.state / "spool") == []  # noqa: PTH208 - names are wanted
    refused = jobd.jobctl("run", "--", "/bin/true")
    assert refused.returncode == 125
    assert refused.stderr.startswith("Error: the job could not be started")
    set_limit(jobd, limit, PLENTY)
    done = jobd.jobctl("run", "--", "/bin/echo", "on")
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr


def test_a_container_of_its_own_gets_full_containment(make_jobd: MakeJobd) -> None:
    """Root of a user namespace is root enough; its users come from the range it has."""
    jobd = make_jobd(wrapper=as_root_of_a_container())
    uid = int(jobd.succeed("run", "--", "/usr/bin/id", "-u"))
    assert 50_000 <= uid < 60_000
    job_id = jobd.start_job("/bin/true")
    assert level_of(jobd, job_id) == "full"
    assert logged(jobd, "warning") == []


def test_t10_variables_are_the_jobs_own(make_jobd: MakeJobd, shared_dir: Path) -> None:
    """The server's do not reach a job, and a job's do not reach the server or the supervisor."""
    wrapper = (
        "env",
        "AWS_SECRET_ACCESS_KEY=canary",
        "PYTHONSTARTUP=/nowhere",
        "PATH=/usr/bin:/bin",
    )
    jobd = make_jobd(wrapper=wrapper)
    marker = shared_dir / "loaded"
    shared_dir.chmod(0o777)
    (shared_dir / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'a').write('x')")
    options = ("--env", f"PYTHONPATH={shared_dir}", "--env", "PATH=/nowhere")
    for limits in ((), ("--nice", "1")):
        shown = jobd.succeed("run", *options, *limits, "--", "/usr/bin/env")
        variables = dict(line.split("=", 1) for line in shown.splitlines())
        assert variables["PATH"] == "/nowhere"
        assert variables["PYTHONPATH"] == str(shared_dir)
        assert not {"AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP"} & set(variables)
        assert "canary" not in shown
    assert not marker.exists(), "no Python of ours has looked there"
    assert jobd.jobctl("run", *options, "--", "/usr/bin/python3", "-c", "").returncode == 0
    assert marker.exists(), "the job's own has"
