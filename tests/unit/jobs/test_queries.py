"""What can be asked of jobs: among the live ones first, then in the archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from jobworker.errors import JobNotFound, ProgramNotFound, StorageFull
from jobworker.jobs import live as live_module
from jobworker.jobs import queries as queries_module
from jobworker.jobs.live import LiveJob, Phase
from jobworker.jobs.queries import Queries
from jobworker.jobs.starter import StartOrder
from jobworker.model import (
    Cause,
    Completed,
    End,
    Job,
    JobId,
    JobQuery,
    Running,
    Spec,
    Starting,
    StatusName,
)
from jobworker.testing import MemoryArchive
from support.parts import BUDGET, MOMENT, Parts, composed, new_job

ENDED = Completed(End(Cause.EXITED, MOMENT, exit_code=0))


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with composed() as parts:
        yield parts


async def end(live: LiveJob) -> None:
    """Let a live job have ended, while nobody moves it to the archive."""
    live.job = replace(live.job, status=ENDED)
    live.advance(Phase.ENDED)


class UnaskedArchive(MemoryArchive):
    """Is not to be asked."""

    def get(self, job_id: JobId) -> Job | None:
        raise AssertionError(f"the archive was asked for {job_id}")


@pytest.mark.parametrize(
    "text", ["", "j-1", "../../etc/passwd", "j-\x00", "j-9fa5ed11-ca7c-4e89-9cb8-21876817c033\n"]
)
def test_what_is_no_id_is_no_job(text: str) -> None:
    """And gets no further than that."""
    parts = Parts(archive=UnaskedArchive())
    with pytest.raises(JobNotFound):
        parts.queries.status(text)


async def test_a_live_job_goes_before_its_record() -> None:
    parts = Parts(archive=UnaskedArchive())
    live = await parts.accept()
    live.job = replace(live.job, status=Running(MOMENT, 7))
    assert parts.queries.status(live.job.id) is live.job


async def test_a_job_that_is_known_nowhere(parts: Parts) -> None:
    with pytest.raises(JobNotFound):
        parts.queries.status(JobId.new())
    with pytest.raises(JobNotFound):
        await parts.queries.wait(JobId.new())


async def test_a_refused_job_is_none_although_the_archive_has_it_still(parts: Parts) -> None:
    live, other = await parts.accept(), await parts.accept()
    live.refuse(ProgramNotFound())
    assert parts.archive.get(live.job.id) is not None
    with pytest.raises(JobNotFound):
        parts.queries.status(live.job.id)
    assert (await parts.queries.list()).jobs == (other.job,)


async def test_who_waits_has_the_job_as_it_ended(parts: Parts) -> None:
    live = await parts.accept()
    waiting = asyncio.create_task(parts.queries.wait(live.job.id))
    await asyncio.sleep(0)
    await end(live)
    assert (await asyncio.wait_for(waiting, BUDGET)).status == ENDED


async def test_who_waits_for_a_job_that_is_refused_is_told_that_there_is_none(
    parts: Parts,
) -> None:
    live = await parts.accept()
    waiting = asyncio.create_task(parts.queries.wait(live.job.id))
    await asyncio.sleep(0)
    live.refuse(ProgramNotFound())
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(waiting, BUDGET)


async def test_who_waits_no_longer_has_the_job_as_it_stands(parts: Parts) -> None:
    """And leaves nothing behind, whether the time was over or the caller gone."""
    live = await parts.accept()
    assert await parts.queries.wait(live.job.id, 0) == live.job
    waiting = asyncio.create_task(parts.queries.wait(live.job.id))
    await asyncio.sleep(0)
    assert ", 1 waiting" in repr(live)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert ", 0 waiting" in repr(live)


async def test_an_archived_job_is_not_waited_for(parts: Parts) -> None:
    job = await parts.archived()
    assert await asyncio.wait_for(parts.queries.wait(job.id), BUDGET) == job


async def test_a_job_that_was_archived_just_now_is_told_without_the_archive(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await parts.archived()
    assert parts.archive.get(job.id) == job, "it tells the same"
    monkeypatch.setattr(parts.archive, "get", UnaskedArchive().get)
    assert parts.queries.status(job.id) == job
    assert await parts.queries.wait(job.id) == job
    assert parts.queries.whole(job.id) == job


async def test_a_job_that_was_archived_just_now_is_told_whole(parts: Parts) -> None:
    """What is long in its spec is not remembered."""
    long = Spec("/bin/true", ("x" * 5000,), env={"LONG": "y" * 5000})
    job = await parts.starter.start(StartOrder(long, "alice"))
    live = parts.live_jobs.get(job.id)
    assert live is not None
    parts.engine.exit(job.id)
    await asyncio.wait_for(live.reached(Phase.GONE), BUDGET)
    assert parts.queries.status(job.id).cut == ("args", "env")
    assert parts.queries.whole(job.id).spec == long


async def test_a_bounded_number_of_archived_jobs_is_remembered(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "MOST_REMEMBERED", 2)
    jobs = [await parts.archived() for _ in range(3)]
    remembered = [parts.live_jobs.archived(job.id) for job in jobs]
    assert remembered == [None, *jobs[1:]]
    assert [parts.queries.status(job.id) for job in jobs] == jobs


async def test_a_job_that_is_removed_is_forgotten(parts: Parts) -> None:
    job = await parts.archived()
    await parts.archiver.remove_archived(job.id)
    with pytest.raises(JobNotFound):
        parts.queries.status(job.id)


async def test_a_removal_that_fails_leaves_the_job_as_the_archive_has_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: JobId) -> None:
        raise StorageFull

    job = await parts.archived()
    monkeypatch.setattr(parts.archive, "remove", fail)
    with pytest.raises(StorageFull):
        await parts.archiver.remove_archived(job.id)
    assert parts.live_jobs.archived(job.id) is None
    assert parts.queries.status(job.id) == job


async def test_a_job_that_is_removed_while_it_is_archived_is_not_remembered(
    parts: Parts,
) -> None:
    live = await parts.run()
    parts.engine.listen(lambda _job, _event: None)
    parts.engine.exit(live.job.id)
    await end(live)
    archiving = asyncio.create_task(parts.archiver.archive(live))
    removing = asyncio.create_task(parts.archiver.remove(live))
    await asyncio.wait({archiving, removing}, timeout=BUDGET)
    assert archiving.exception() is removing.exception() is None
    assert parts.live_jobs.archived(live.job.id) is None
    with pytest.raises(JobNotFound):
        parts.queries.status(live.job.id)


async def test_a_start_that_was_refused_is_not_remembered(parts: Parts) -> None:
    live = await parts.accept()
    live.refuse(ProgramNotFound())
    await parts.archiver.roll_back(live)
    with pytest.raises(JobNotFound):
        parts.queries.status(live.job.id)


async def test_a_list_shows_live_jobs_as_they_are_now(parts: Parts) -> None:
    """The archive only knows that they were accepted."""
    live = await parts.accept()
    live.job = replace(live.job, status=Running(MOMENT, 7))
    record = parts.archive.get(live.job.id)
    assert record is not None
    assert record.status == Starting()
    assert (await parts.queries.list()).jobs == (live.job,)


async def test_a_list_by_status_waits_for_what_is_on_its_way_to_the_archive(parts: Parts) -> None:
    live = await parts.accept()
    await end(live)
    listing = asyncio.create_task(parts.queries.list(JobQuery(status=StatusName.COMPLETED)))
    await asyncio.sleep(0)
    assert not listing.done()
    await parts.archiver.archive(live)
    assert (await asyncio.wait_for(listing, BUDGET)).jobs == (live.job,)


async def test_a_list_by_status_does_not_wait_for_an_archive_that_is_full(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the job, which somebody may want to remove; under a status that it had, none."""
    monkeypatch.setattr(queries_module, "_LISTING_PATIENCE", 0)
    live = await parts.accept()
    await end(live)
    assert (await parts.queries.list(JobQuery(status=StatusName.COMPLETED))).jobs == (live.job,)
    assert (await parts.queries.list(JobQuery(status=StatusName.RUNNING))).jobs == ()
    assert ", 0 waiting" in repr(live)
    assert (await parts.queries.list()).jobs == (live.job,), "by no status it is there"


async def test_a_list_without_a_status_waits_for_nothing(parts: Parts) -> None:
    live = await parts.accept()
    await end(live)
    assert (await asyncio.wait_for(parts.queries.list(), BUDGET)).jobs == (live.job,)


async def test_a_warning_is_remembered_while_the_job_is_live(parts: Parts) -> None:
    live = await parts.accept()
    assert parts.queries.warning(live.job) is None
    live.warning = "/srv is hidden"
    assert parts.queries.warning(live.job) == "/srv is hidden"
    assert Queries(parts.archive, parts.live_jobs).warning(new_job()) is None
