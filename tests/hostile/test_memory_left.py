"""What a job leaves in its scratch directories is gone after its end, whatever it is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobworker.model import Level
from jobworker.supervisor.names import OWN_NAMESPACES, shared_name
from support.jobd import Jobd
from support.levels import account_for, working
from support.supervisors import supervisor_of
from support.waiting import until

PYTHON = "/usr/bin/python3"

# Names as a removal in progress gives them; a tree deep enough to need them; memory. Not more
# of it, as a disk that is busy may take a millisecond for each directory.
TAKEN_NAMES = """
import os, sys
for place in sys.argv[1:]:
    os.chdir(place)
    for number in range(40):
        os.makedirs(f".removed-{number}/kept/.removed-{number}/kept")
    for _ in range(40):
        for number in range(3):
            os.makedirs(f"{number}/.removed-{number}", exist_ok=True)
        os.chdir("0")
    with open("memory", "wb") as file:
        file.write(bytes(4 << 20))
"""

ODD_NAMES = r"""
import os, sys
for place in sys.argv[1:]:
    os.chdir(place)
    for name in ("n" * 255, "-rf", "\n", "\udcff", " ", ".removed-"):
        os.mkdir(name)
        open(os.path.join(name, "f" * 255), "w").close()
        os.symlink("/etc", os.path.join(name, "link"))
        os.mkfifo(os.path.join(name, "fifo"))
        os.makedirs(os.path.join(name, "closed", "d" * 255))
        os.chmod(os.path.join(name, "closed"), 0)
        os.chmod(name, 0)
"""

MANY = """
import os, sys
for place in sys.argv[1:]:
    os.chdir(place)
    os.mkdir("many")
    for number in range(1_500):
        os.mkdir(f"d{number}") if number % 4 == 0 else open(f"many/f{number}", "w").close()
"""

REPLACED = """
import os, sys
own = os.environ["TMPDIR"]
os.rename(own, own + "-moved")
os.rmdir(own + "-moved")
os.symlink("/etc", own) if sys.argv[1] == "link" else open(own, "w").close()
"""


def places(level: Level) -> tuple[str, ...]:
    """The directories of its own that a job may write in."""
    return ("/tmp", "/dev/shm") if level in OWN_NAMESPACES else (".",)


def left_of(server: Jobd, job_id: str) -> list[Path]:
    """All that there may be of a job outside the archive."""
    name = shared_name(job_id)
    candidates = (Path("/dev/shm") / name, Path("/tmp") / name, server.state / "spool" / job_id)
    half = server.state / "spool" / f".{job_id}"
    return [path for path in (*candidates, half) if os.path.lexists(path)]


def ended(server: Jobd, script: str, *args: str) -> str:
    """Run a script as a job to its end."""
    job_id = server.start_job(PYTHON, "-c", script, *args)
    assert server.jobctl("wait", job_id).returncode == 0, server.succeed("output", job_id)
    return job_id


@pytest.mark.parametrize("script", [TAKEN_NAMES, ODD_NAMES, MANY], ids=["taken", "odd", "many"])
def test_t62_a_job_cannot_keep_memory_by_the_names_it_gives(
    server: Jobd, level: Level, script: str
) -> None:
    job_id = ended(server, script, *places(level))
    until(lambda: not left_of(server, job_id))
    assert "Traceback" not in (server.state / "spawner.log").read_text()


def test_t62_a_killed_supervisors_job_cannot_keep_memory(server: Jobd, level: Level) -> None:
    """The server removes what the supervisor would have removed, by whatever name."""
    script = f"{TAKEN_NAMES}\nprint('made', flush=True)\nimport time; time.sleep(600)"
    job_id = server.start_job(PYTHON, "-c", script, *places(level))
    until(lambda: "made" in server.succeed("output", job_id))
    os.kill(supervisor_of(server.state, job_id), 9)
    server.jobctl("wait", job_id)
    until(lambda: not left_of(server, job_id))


def test_t62_a_job_cannot_keep_the_server_from_starting(server: Jobd, level: Level) -> None:
    """What it made while nobody could clean up is removed at the next start."""
    script = f"{TAKEN_NAMES}\nprint('made', flush=True)\nimport time; time.sleep(600)"
    job_id = server.start_job(PYTHON, "-c", script, *places(level))
    until(lambda: "made" in server.succeed("output", job_id))
    supervisor = supervisor_of(server.state, job_id)
    server.kill()
    os.kill(supervisor, 9)
    half_removed = server.state / "spool" / ".j-half-removed"
    (half_removed / ".removed-0" / "x").mkdir(parents=True)
    (half_removed / "a" / "b").mkdir(parents=True)
    give(half_removed, account_for(level))
    server.start()
    server.jobctl("wait", job_id)
    until(lambda: not left_of(server, job_id))
    until(lambda: not half_removed.exists())


@pytest.mark.parametrize("level", working("uid", "basic"))
@pytest.mark.parametrize("by", ["link", "file"])
def test_t62_a_job_cannot_put_something_else_in_place_of_its_directory(
    server: Jobd, by: str
) -> None:
    """Without mounts of its own its directory is one of the machine's, and the job owns it."""
    job_id = ended(server, REPLACED, by)
    until(lambda: not left_of(server, job_id))
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize("level", working("basic"))
def test_t62_a_job_that_fills_anothers_directory_does_not_hold_up_the_rest(server: Jobd) -> None:
    """At ``basic`` jobs have one user; the removal of the one waits, and no other with it."""
    fill = (
        "import os, sys\n"
        "while True:\n"
        "    try:\n"
        "        os.makedirs(sys.argv[1], exist_ok=True)\n"
        "        for n in range(500): os.mkdir(sys.argv[1] + f'/{n}')\n"
        "    except OSError: pass"
    )
    victim = server.start_job("/bin/sleep", "600")
    tmp = f"/tmp/{shared_name(victim)}"
    fillers = [server.start_job(PYTHON, "-c", fill, tmp) for _ in range(2)]
    os.kill(supervisor_of(server.state, victim), 9)
    server.jobctl("wait", victim)
    others = [ended(server, MANY, ".") for _ in range(3)]
    until(lambda: not any(left_of(server, other) for other in others))
    server.succeed("stop", *fillers)
    until(lambda: not (server.state / "spool" / victim).exists())
    shutil.rmtree(tmp, ignore_errors=True)  # the fillers' by now


def give(tree: Path, account: int | None) -> None:
    """Make a directory with all in it the server's account's."""
    if account is not None:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, account, account)
