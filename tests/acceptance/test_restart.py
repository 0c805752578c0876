"""Jobs and the server's life, as the user of jobctl sees them."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from support.jobd import Jobd, MakeJobd


def leave(jobd: Jobd) -> None:
    assert jobd.stop() == 0


@pytest.mark.parametrize("leaving", [Jobd.kill, leave])
def test_t21_a_running_job_is_kept(jobd: Jobd, leaving: Callable[[Jobd], None]) -> None:
    """However the server ends; the next one can stop the job."""
    job_id = jobd.start_job("/bin/sleep", "1000")
    before = jobd.succeed("status", "--json", job_id)
    leaving(jobd)
    assert jobd.jobctl("status", job_id).returncode == 1
    jobd.start()
    assert jobd.succeed("status", "--json", job_id) == before
    assert jobd.succeed("stop", job_id) == f"Job with ID {job_id} stopped.\n"


@pytest.mark.parametrize("leaving", [Jobd.kill, leave])
def test_t22_an_end_is_not_missed(
    jobd: Jobd, leaving: Callable[[Jobd], None], shared_dir: Path
) -> None:
    """The job ends while no server runs: its code and all of its output are there."""
    gate, life = fifo(shared_dir / "gate", os.O_RDWR), fifo(shared_dir / "life", os.O_RDONLY)
    script = (
        f"exec 9> {shared_dir}/life; echo first; read go < {shared_dir}/gate; echo last; exit 7"
    )
    job_id = jobd.start_job("/bin/sh", "-c", script)
    leaving(jobd)
    os.write(gate, b"go\n")
    wait_for_end_of_writers(life)
    jobd.start()
    assert jobd.jobctl("wait", job_id).returncode == 7
    assert jobd.jobctl_bytes("logs", job_id).stdout == b"first\nlast\n"
    os.close(gate)
    os.close(life)


def fifo(path: Path, flags: int) -> int:
    """Make a named pipe that every user may use, and open it."""
    os.mkfifo(path)
    path.chmod(0o666)
    return os.open(path, flags | os.O_NONBLOCK)


def wait_for_end_of_writers(descriptor: int) -> None:
    """Return when everybody has closed the pipe; 30 s are for a busy machine."""
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is told in any case
    assert poll.poll(30_000), "the job did not end"


@pytest.mark.root
def test_a_server_of_an_ordinary_user(make_jobd: MakeJobd) -> None:
    """Started by root's tests as user 65534, who may read this checkout."""
    jobd = make_jobd(account=65534)
    assert jobd.succeed("run", "--", "/usr/bin/id", "-u") == "65534\n"
