"""What every archive must do with idempotency keys; the shipped fake is held to it too."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobworker.archive import sqlite, upgrade
from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.errors import ServiceUnavailable
from jobworker.jobs.lifecycle import final_status
from jobworker.jobs.ports import Archive
from jobworker.model import (
    Cause,
    End,
    Job,
    JobId,
    KeyBinding,
    Queued,
    Spec,
    Starting,
    StartKey,
    Status,
    Terms,
)
from jobworker.testing import MemoryArchive, MemoryOutput

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = StartKey("a key", bytes(range(32)))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: to make one takes the migrations."""
    path = tmp_path_factory.mktemp("archive") / "jobd.db"
    sqlite.create(path, upgrade.migrate)
    return path


@pytest.fixture(params=["memory", "sql"])
async def archive(
    request: pytest.FixtureRequest, empty: Path, tmp_path: Path
) -> AsyncIterator[Archive]:
    if request.param == "memory":
        yield MemoryArchive()
        return
    path = tmp_path / "jobd.db"
    shutil.copy(empty, path)
    database = Database.open(path)
    yield SqlArchive(database)
    await database.close()


def make_job(owner: str = "alice", status: Status = Starting()) -> Job:  # noqa: B008 - immutable
    return Job(JobId.new(), owner, Spec("/bin/true"), Terms(), status, NOW, "basic", "here")


def ended(job: Job) -> Job:
    return replace(job, status=final_status(End(Cause.EXITED, finished_at=NOW, exit_code=0)))


@pytest.mark.parametrize("status", [Starting(), Queued()])
async def test_a_key_is_recorded_with_its_job(archive: Archive, status: Status) -> None:
    job = make_job(status=status)
    await archive.add(job, KEY)
    bound = archive.binding("alice", KEY.text)
    assert bound == KeyBinding(KEY.digest, job.id, acknowledged=isinstance(status, Queued))
    assert archive.get(job.id) == job


async def test_a_job_without_a_key_binds_none(archive: Archive) -> None:
    await archive.add(make_job())
    assert archive.binding("alice", KEY.text) is None


async def test_a_key_is_each_owners_own(archive: Archive) -> None:
    jobs = {owner: make_job(owner) for owner in ("alice", "bob")}
    for job in jobs.values():
        await archive.add(job, KEY)
    bound = {owner: archive.binding(owner, KEY.text) for owner in ("alice", "bob", "carol")}
    assert {owner: each and each.job_id for owner, each in bound.items()} == {
        "alice": jobs["alice"].id,
        "bob": jobs["bob"].id,
        "carol": None,
    }


async def test_a_key_that_is_taken_takes_its_job_with_it(archive: Archive) -> None:
    """And nobody else's, though all may be written in one transaction."""
    first, second, other = make_job(), make_job(), make_job()
    await archive.add(first, KEY)
    with pytest.raises(ServiceUnavailable):
        await archive.add(second, KEY)
    await archive.add(other, StartKey("another", KEY.digest))
    assert archive.get(second.id) is None
    bound = archive.binding("alice", KEY.text)
    assert bound is not None
    assert bound.job_id == first.id


async def test_a_start_that_was_refused_frees_its_key(archive: Archive) -> None:
    refused, other = make_job(), make_job("bob")
    await archive.add(other, KEY)
    await archive.add(refused, KEY)
    await archive.roll_back(refused.id)
    assert archive.binding("alice", KEY.text) is None
    assert archive.binding("bob", KEY.text) is not None
    await archive.add(make_job(), KEY)


async def test_a_job_that_ended_keeps_its_key_also_once_it_is_removed(archive: Archive) -> None:
    """Else a late retry would run the program a second time."""
    job = make_job()
    await archive.add(job, KEY)
    await archive.finish(ended(job), MemoryOutput())
    await archive.roll_back(job.id)
    await archive.remove(job.id)
    bound = archive.binding("alice", KEY.text)
    assert bound == KeyBinding(KEY.digest, job.id, acknowledged=False)


async def test_a_key_can_be_released(archive: Archive) -> None:
    lost, again = make_job(), make_job()
    await archive.add(lost, KEY)
    await archive.release("alice", KEY.text)
    assert archive.binding("alice", KEY.text) is None
    await archive.add(again, KEY)
    await archive.roll_back(lost.id)
    bound = archive.binding("alice", KEY.text)
    assert bound is not None
    assert bound.job_id == again.id
