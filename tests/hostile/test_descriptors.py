"""A server that may open few files, and clients that take them all (T79)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from socket import socket

import pytest

from jobworker.model import Level
from support.directories import make_directory
from support.jobd import Jobd, MakeJobd
from support.levels import account_for
from support.waiting import until


def knock(jobd: Jobd) -> socket:
    """A connection that is begun and says nothing."""
    host, port = jobd.listen.rsplit(":", 1)
    knocking = socket()
    knocking.setblocking(False)
    knocking.connect_ex((host, int(port)))
    return knocking


@pytest.mark.parametrize("files", [256, 128, 64])
def test_t79_more_silent_connections_than_descriptors_lock_nobody_out(
    make_jobd: MakeJobd, files: int
) -> None:
    """Not while they last, and not for good; what there was no descriptor for is done later."""
    jobd = make_jobd(wrapper=("prlimit", f"--nofile={files}"))
    with ExitStack() as opened:
        for _ in range(2 * files):
            opened.enter_context(knock(jobd))
        until(lambda: jobd.jobctl("run", "--", "/bin/true").returncode == 0)
    until(lambda: jobd.jobctl("run", "--", "/bin/true").returncode == 0)
    assert jobd.jobctl("list").returncode == 0
    until(lambda: not any((jobd.state / "spool").iterdir()))
    short = [line for line in jobd.log.read_text().splitlines() if "Too many open files" in line]
    assert all("cannot clear away job" in line for line in short), short
    assert '"level": "error"' not in jobd.log.read_text()


def test_t79_a_job_that_takes_all_descriptors_of_its_server_is_stopped(
    make_jobd: MakeJobd, level: Level, compiled: Callable[[str], str]
) -> None:
    """It opens connections again and again; the stop is served meanwhile."""
    jobd = make_jobd(
        "--containment", level, account=account_for(level), wrapper=("prlimit", "--nofile=256")
    )
    job_id = jobd.start_job(compiled("connections"), jobd.listen.rpartition(":")[2], "250")
    until(lambda: jobd.jobctl("stop", job_id).returncode == 0)
    until(lambda: jobd.jobctl("run", "--", "/bin/true").returncode == 0)


def test_t79_too_few_descriptors_for_anybody_to_connect_are_refused_in_words() -> None:
    jobd = Jobd(make_directory("jobd-"), wrapper=("prlimit", "--nofile=48"))
    try:
        with pytest.raises(AssertionError):
            jobd.start()
        said = jobd.log.read_text()
        assert "cannot serve with 48 open files at most; it takes 64" in said
        assert "ulimit -n" in said
    finally:
        subprocess.run(["rm", "-r", jobd.home], check=True)
