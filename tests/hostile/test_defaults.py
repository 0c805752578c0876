"""T70: under the default settings one user takes all that a job can take; others' starts work.

The server is put on a machine that is small, by cgroups around it and by the file system of
its state, so that the defaults, which go by the size of the machine, are reached soon and
nobody else's memory is taken. Where the server is an ordinary account's, all users' jobs
have that account: there a single job is bounded in processes, and memory is not at all,
unless the account has a cgroup of its own. That is said at the start, and tested here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.model import Level
from support.cgroups import Cgroup
from support.jobd import Jobd, MakeJobd
from support.levels import ORDINARY, account_for, working
from support.waiting import until

from .conftest import Compile

pytestmark = pytest.mark.root

MB = 1 << 20
MEMORY, PROCESSES, DISK = 1024 * MB, 1024, 64 * MB
ENTER = 'for procs in $CGROUPS; do echo 0 >"$procs" || exit 125; done; unset CGROUPS; exec "$@"'


@pytest.fixture
def small_machine(cgroup: Cgroup) -> tuple[str, ...]:
    """The wrapper by which a server starts with a part of this machine."""
    cgroup.limit_memory(MEMORY)
    cgroup.limit_processes(PROCESSES)
    procs = [path / "cgroup.procs" for path in sorted(set(cgroup.directories.values()))]
    for path in procs:
        os.chown(path, ORDINARY, ORDINARY)
    words = " ".join(map(str, procs))
    return ("/usr/bin/env", f"CGROUPS={words}", "/bin/sh", "-c", ENTER, "sh")


@pytest.fixture
def server(small_machine: tuple[str, ...], make_jobd: MakeJobd, level: Level) -> Jobd:
    jobd = make_jobd("--containment", level, account=account_for(level), wrapper=small_machine)
    return with_users(jobd)


def with_users(jobd: Jobd) -> Jobd:
    for name in ("mallory", "bob"):
        assert jobd.jobd("user", "add", name).returncode == 0
    return jobd


def bob_is_served(server: Jobd) -> None:
    done = server.jobctl("run", "--", "/bin/echo", "served", user="bob")
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr


def answer(server: Jobd, verb: str, *words: str, user: str) -> dict[str, str]:
    told: dict[str, str] = json.loads(server.jobctl(verb, "--json", *words, user=user).stdout)
    return told


@pytest.mark.parametrize("level", working("full", "uid", "namespaces"))
def test_a_fork_bomb_leaves_room_for_others(server: Jobd, level: Level, compiled: Compile) -> None:
    bomb = server.start_job(compiled("bomb"), user="mallory")
    until(lambda: "full" in server.succeed("output", bomb, user="mallory"))
    bob_is_served(server)
    if level != "namespaces":  # whose jobs are counted each by itself
        refused = answer(server, "start", "--", "/bin/true", user="mallory")
        assert refused["code"] == "too_many_jobs"
        assert "has as many processes as one user's jobs may" in refused["error"]
    server.succeed("stop", bomb, user="mallory")
    done = server.jobctl("run", "--", "/bin/echo", "again", user="mallory")
    assert (done.returncode, done.stdout) == (0, "again\n"), done.stderr


@pytest.mark.parametrize("level", working("full", "uid"))
@pytest.mark.parametrize("limits", [(), ("--nice", "1"), ("--memory", "8M")])
def test_a_start_beside_a_users_own_bomb_is_refused_in_words(
    server: Jobd, compiled: Compile, limits: tuple[str, ...]
) -> None:
    """Limits take other ways to the program's exec."""
    bomb = server.start_job(compiled("bomb"), user="mallory")
    until(lambda: "full" in server.succeed("output", bomb, user="mallory"))
    refused = answer(server, "start", *limits, "--", "/bin/true", user="mallory")
    assert refused["code"] == "too_many_jobs"
    server.succeed("stop", bomb, user="mallory")


@pytest.mark.parametrize("level", working("full", "uid"))
def test_memory_is_left_for_others(server: Jobd, compiled: Compile) -> None:
    """Half of the machine's is for all jobs together; what takes the most is killed."""
    quiet = server.start_job("/bin/sleep", "600", user="bob")
    hogs = [server.start_job(compiled("hog"), user="mallory") for _ in range(3)]
    bob_is_served(server)
    for hog in hogs:
        done = server.jobctl("wait", hog, user="mallory")
        assert done.returncode == 137, done.stderr
        why = server.succeed("why", hog, user="mallory")
        assert "Cause: oom" in why
        assert "when all jobs together were out of memory (limit 512 MiB)" in why
    bob_is_served(server)
    assert answer(server, "status", quiet, user="bob")["status"] == "Running"


@pytest.mark.parametrize("level", working("full", "uid"))
def test_a_kill_that_was_not_for_memory_is_not_told_as_one(server: Jobd, compiled: Compile) -> None:
    program = ("/bin/sh", "-c", "kill -KILL $$")
    hog = server.start_job(compiled("hog"), user="mallory")
    server.jobctl("wait", hog, user="mallory")
    done = server.jobctl("run", "--", *program, user="bob")
    assert done.returncode == 137
    job_id = server.succeed("list", "-q", "--limit", "1", user="bob").strip()
    assert "Cause: signaled" in server.succeed("why", job_id, user="bob")


@pytest.fixture
def small_disk(shared_dir: Path) -> Iterator[Path]:
    """A file system for a state."""
    path = shared_dir / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


FILL = ("/usr/bin/head", "-c", str(8 * MB), "/dev/zero")


@pytest.mark.parametrize("level", working("full", "namespaces"))
def test_a_filler_of_the_disk_is_refused_and_others_are_not(
    small_disk: Path, make_jobd: MakeJobd, level: Level
) -> None:
    """A quarter of the disk is one user's; whoever writes more keeps the ends of it."""
    account = account_for(level)
    state = small_disk / "state"
    state.mkdir(mode=0o700)
    if account is not None:
        os.chown(state, account, account)
    jobd = make_jobd(
        "--containment", level, account=account, wrapper=("/usr/bin/env", f"JOBD_STATE={state}")
    )
    jobd.state = state
    with_users(jobd)
    asked = answer(jobd, "start", "--output", "1G", "--", *FILL, user="mallory")
    assert asked["code"] == "storage_full"
    assert "limits.output 1 GiB was asked for; there is room for 16 MiB more" in asked["error"]
    jobs = []
    while (told := answer(jobd, "start", "--", *FILL, user="mallory")).get("id"):
        jobs.append(told["id"])
        jobd.jobctl("wait", told["id"], user="mallory")
        assert len(jobs) <= 2 * DISK // MB, "the disk would be full by now"
    assert told["code"] == "storage_full", told
    assert "jobctl rm" in told["hint"], (told, len(jobs))
    bob_is_served(jobd)
    free = os.statvfs(state)
    assert free.f_bavail * free.f_frsize > DISK // 3, "the others' room"
    jobd.restart()
    assert answer(jobd, "start", "--", *FILL, user="mallory")["code"] == "storage_full"
    for job_id in jobs[:2]:
        jobd.succeed("rm", job_id, user="mallory")
    assert jobd.jobctl("run", "--", "/bin/true", user="mallory").returncode == 0


@pytest.mark.parametrize("level", working())
def test_what_stays_unbounded_is_said_at_the_start(server: Jobd, level: Level) -> None:
    log = server.log.read_text()
    memory, processes = "memory of all jobs together", "processes of a user"
    ordinary = level in ("namespaces", "basic")
    assert (f"the {memory} is not bounded: " in log) is ordinary
    assert (f"the {processes} are not bounded" in log) is ordinary
    assert ("those of each job are, to 256" in log) is (level == "namespaces")


def test_what_the_configuration_turns_off_is_said_too(make_jobd: MakeJobd, tmp_path: Path) -> None:
    config = tmp_path / "jobd.toml"
    config.write_text(
        '[total]\nmemory = "none"\n[queue]\nmax-running-per-user = "none"\n'
        '[per-user]\npids = "none"\nstored-output = "none"\n'
    )
    jobd = make_jobd("--config", str(config))
    said = (
        "the memory of all jobs together is not bounded",
        "the processes of a user are not bounded",
        "the running jobs of a user are not bounded",
        "the stored output of a user is not bounded",
    )
    told = jobd.jobd("doctor", "--config", str(config)).stdout
    for line in said:
        assert f"{line}: the configuration says none" in jobd.log.read_text()
        assert f"Warning: {line}: the configuration says none." in told
    done = jobd.jobctl("run", "--", "/bin/sh", "-c", "cat /proc/self/cgroup; cat /proc/self/limits")
    assert "/common" not in done.stdout
    assert done.returncode == 0
