"""The archive under kill -9, a full disk, a quota and a second writer: real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.model import Cause, Completed, End, JobId, JobQuery, Stream
from jobworker.testing import MemoryOutput

CHILD = Path(__file__).with_name("archive_child.py")
TIMEOUT = 120  # seconds: far more than any scene takes on a busy machine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobd.db"


@pytest.fixture
async def archive(path: Path) -> AsyncIterator[SqlArchive]:
    database = Database.open(path)
    yield SqlArchive(database)
    await database.close()


def play(scene: str, path: Path, *, dies_by: int = 0) -> Any:
    """Run a scene to its end and return what it said."""
    command = [sys.executable, str(CHILD), scene, str(path)]
    child = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT, check=False)
    assert child.returncode == -dies_by
    return json.loads(child.stdout)


def test_acknowledged_jobs_outlive_a_killed_server(path: Path, archive: SqlArchive) -> None:
    acknowledged = play("added", path, dies_by=signal.SIGKILL)
    assert len(acknowledged) == 50
    assert all(archive.get(JobId(job_id)) for job_id in acknowledged)


async def test_a_finish_cut_off_half_way_is_done_again(path: Path, archive: SqlArchive) -> None:
    """No byte of the first try is left: the second stores other output of the same job."""
    job_id = JobId(play("finishing", path, dies_by=signal.SIGKILL))
    (job,) = await archive.unfinished()
    assert job.id == job_id
    end = Completed(End(Cause.EXITED, job.created_at, exit_code=0))
    final = replace(job, status=end)
    output = bytes(place * 11 % 253 for place in range(700_000))
    await archive.finish(final, MemoryOutput({Stream.STDOUT: output}))
    stored = archive.output(job.id)
    assert stored.size(Stream.STDOUT) == len(output)
    assert stored.read(Stream.STDOUT, 0, 1 << 30).data == output
    assert archive.get(job.id) == final


async def test_two_processes_write_at_once(path: Path, archive: SqlArchive) -> None:
    """As ``jobd user add`` does next to the server; neither loses or refuses a write."""
    answers = await asyncio.gather(*[asyncio.to_thread(play, "many", path) for _ in range(2)])
    ids = {job_id for answer in answers for job_id in answer}
    page = await archive.find(JobQuery(limit=1000))
    assert {job.id for job in page.jobs} == ids
    assert len(ids) == 200
    assert await archive.unfinished() == []


def check_refusal(said: Any) -> None:
    """Starts are refused in words, reads go on, and all is well once there is room."""
    assert said["acknowledged"] > 0
    assert "no space left" in said["refusal"]
    assert said["finish_refused"]
    assert said["kept"] == said["listed"] == said["acknowledged"]
    assert said["refused_is_absent"]
    assert said["added_later"]
    assert said["output_later"] == 200_000


def test_a_quota_refuses_new_jobs_and_nothing_else(path: Path) -> None:
    check_refusal(play("quota", path))


def test_a_full_disk_refuses_new_jobs_and_nothing_else(tmp_path: Path) -> None:
    """A real one: a file system of 1 MiB, in a mount namespace that goes with the child."""
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" "$3" full "$1/jobd.db"'
    command = ["unshare", *namespaces, "sh", "-c", mount, "sh"]
    command += [str(tmp_path), sys.executable, str(CHILD)]
    child = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
    check_refusal(json.loads(child.stdout))
    assert list(tmp_path.iterdir()) == []
