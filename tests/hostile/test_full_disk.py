"""Jobs that fill the disk of the server's state, and what must work all the same (T72, T74)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from jobworker.model import Level
from support.disks import MIB, MakeDisk, free, server_on
from support.jobd import Jobd, MakeJobd
from support.levels import account_for
from support.waiting import until

pytestmark = pytest.mark.root  # a disk is mounted

SIZE = 64 * MIB

SOON = 15.0
"""Seconds for a call on a full disk, on a machine that is busy: it hung for two minutes once."""

WRITE_FOR_EVER = 'until [ -e "$1" ]; do sleep 0.1; done; while :; do cat /dev/zero; done'
"""A script of a job that begins to write once a file is there."""


@pytest.fixture
def disk(make_disk: MakeDisk, level: Level) -> Path:
    """Each kind at a level with own mounts, and at one without."""
    kind = "ext4" if level in ("full", "basic") else "tmpfs"
    return make_disk(kind, SIZE, account_for(level))


@pytest.fixture
def server(disk: Path, make_jobd: MakeJobd, level: Level) -> Jobd:
    jobd = server_on(disk, make_jobd, "--containment", level, account=account_for(level))
    jobd.variables["JOBCTL_PATIENCE"] = "0s"  # each refusal is wanted once
    return jobd


def is_full(server: Jobd) -> bool:
    """Whether a start is refused for want of room."""
    done = server.jobctl("start", "--json", "--", "/bin/true")
    code: str | None = json.loads(done.stdout).get("code")
    return code == "storage_full"


def soon(server: Jobd, *words: str, user: str | None = None) -> str:
    """What a call prints that must succeed, and must not take long."""
    began = time.monotonic()
    printed = server.succeed(*words, user=user)
    assert time.monotonic() - began < SOON, words
    return printed


def fill_by_jobs(server: Jobd, disk: Path, each: int) -> list[str]:
    """Jobs that have ended and have written so much each, or what there was room for."""
    jobs: list[str] = []
    while True:
        assert len(jobs) < SIZE // each + 10, "the disk does not fill"
        done = server.jobctl("start", "--json", "--", "/usr/bin/head", "-c", str(each), "/dev/zero")
        answer = json.loads(done.stdout)
        if answer.get("code") == "storage_full":
            # What an attempt to archive one had taken is free again after it.
            if free(disk) < 3 * MIB:
                return jobs
            continue
        jobs.append(answer["id"])
        assert server.jobctl("wait", jobs[-1]).returncode == 0


def test_t72_a_disk_that_jobs_have_filled_is_freed_by_rm_alone(server: Jobd, disk: Path) -> None:
    """By output that is too much for the archive, which would need as much once more."""
    before = free(disk)
    jobs = fill_by_jobs(server, disk, 24 * MIB)
    until(lambda: is_full(server))
    for job_id in jobs:
        soon(server, "rm", job_id)
        assert server.jobctl("status", job_id).returncode == 1
    assert free(disk) > before - 8 * MIB
    assert server.jobctl("run", "--", "/bin/true").returncode == 0
    until(lambda: not any((disk / "state" / "spool").iterdir()))
    assert "Traceback" not in server.log.read_text()


def test_t72_what_fills_the_archive_is_freed_by_rm_alone(server: Jobd, disk: Path) -> None:
    """By output that was archived: a database that holds nothing any more must shrink."""
    before = free(disk)
    jobs = fill_by_jobs(server, disk, 6 * MIB)
    assert (disk / "state" / "jobd.db").stat().st_size > SIZE // 4
    began = time.monotonic()
    server.succeed("rm", *jobs)
    assert time.monotonic() - began < len(jobs) * 2
    until(lambda: free(disk) > before - 8 * MIB)
    assert server.jobctl("run", "--", "/bin/true").returncode == 0


def test_t72_while_jobs_go_on_writing_others_can_remove_stop_and_read(
    server: Jobd, disk: Path, shared_dir: Path
) -> None:
    """Whatever is freed is taken at once, by several users; the next one wants to clear up."""
    for name in ("mallory", "trudy", "alice"):
        assert server.jobd("user", "add", name).returncode == 0
    ended = server.start_job("/bin/echo", "mine", user="alice")
    assert server.jobctl("wait", ended, user="alice").returncode == 0
    large = server.start_job("/usr/bin/head", "-c", str(8 * MIB), "/dev/zero", user="alice")
    assert server.jobctl("wait", large, user="alice").returncode == 0
    running = server.start_job("/bin/sleep", "300", user="alice")
    go = shared_dir / "go"
    writing = ("/bin/sh", "-c", WRITE_FOR_EVER, "sh", str(go))
    writers = [server.start_job(*writing, user=name) for name in ("mallory", "trudy") * 2]
    go.touch()
    until(lambda: free(disk) == 0)
    until(lambda: is_full(server))  # what an attempt to archive had taken was free for a moment
    assert soon(server, "output", ended, user="alice") == "Output:\nmine\n"
    assert soon(server, "status", running, user="alice").splitlines()[1] == "Status: Running"
    soon(server, "rm", large, user="alice")
    soon(server, "stop", running, user="alice")
    assert (
        json.loads(soon(server, "status", "--json", running, user="alice"))["status"] == "Stopped"
    )
    soon(server, "rm", running, user="alice")
    soon(server, "rm", ended, user="alice")
    assert soon(server, "list", "-q", user="alice") == ""
    for job_id in writers:
        soon(server, "stop", job_id)
    for job_id in writers:
        soon(server, "rm", job_id)
    assert server.jobctl("run", "--", "/bin/true").returncode == 0
    assert "Traceback" not in server.log.read_text()
