"""Who feeds which job: one at a time, over the engine that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.errors import (
    IdempotencyKeyReused,
    InputBusy,
    InputClosed,
    InvalidRequest,
    JobNotRunning,
    ServiceUnavailable,
    StorageFull,
)
from jobworker.jobs import input as job_input
from jobworker.model import Input, JobId, Spec
from jobworker.testing import FakeEngine, MemoryArchive, MemoryOwners

PIPE = Spec("/bin/cat", input=Input("pipe"))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def manager(tmp_path: Path, engine: FakeEngine) -> AsyncIterator[Manager]:
    async with Manager.open(
        tmp_path, engine=engine, archive=MemoryArchive(), owners=MemoryOwners()
    ) as manager:
        yield manager


async def test_what_is_fed_arrives_until_its_end(manager: Manager, engine: FakeEngine) -> None:
    job = await manager.submit(PIPE, "alice")
    session = manager.attach(job.id)
    await session.open()
    await session.write(b"one")
    await session.write(b"two")
    assert session.taken == 6
    await session.end()
    session.close()
    assert engine.input.data[job.id] == b"onetwo"
    assert engine.input.over == {job.id}
    again = manager.attach(job.id)
    with pytest.raises(InputClosed, match="has been sent already"):
        await again.open()


async def test_a_job_without_input_takes_none(manager: Manager) -> None:
    for spec, stdin in (
        (Spec("/bin/cat"), None),
        (Spec("/bin/cat", input=Input("given", 1)), b"x"),
    ):
        job = await manager.submit(spec, "alice", stdin=stdin)
        with pytest.raises(InputClosed, match="started without an input"):
            manager.attach(job.id)


async def test_a_job_that_has_ended_takes_none(manager: Manager, engine: FakeEngine) -> None:
    job = await manager.submit(PIPE, "alice")
    session = manager.attach(job.id)
    engine.exit(job.id)
    await session.job_ended()
    with pytest.raises(InputClosed, match="has ended"):
        await session.open()
    with pytest.raises(JobNotRunning):
        manager.attach(job.id)


async def test_two_do_not_feed_one_job_at_once(manager: Manager) -> None:
    job = await manager.submit(PIPE, "alice")
    first = manager.attach(job.id)
    with pytest.raises(InputBusy):
        manager.attach(job.id)
    second = manager.attach(job.id, takeover=True)
    assert first.displaced.is_set()
    first.close()  # which takes nothing from the second
    with pytest.raises(InputBusy):
        manager.attach(job.id)
    second.close()
    manager.attach(job.id).close()


async def test_one_user_does_not_take_all_room(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_input, "MOST_BY_ONE", 2)
    monkeypatch.setattr(job_input, "MOST", 3)
    jobs = [await manager.submit(PIPE, "alice") for _ in range(4)]
    manager.attach(jobs[0].id, by="alice")
    manager.attach(jobs[1].id, by="alice")
    with pytest.raises(ServiceUnavailable, match="2 by alice, 2 in all"):
        manager.attach(jobs[2].id, by="alice")
    manager.attach(jobs[2].id, by="root")
    with pytest.raises(ServiceUnavailable, match="3 in all"):
        manager.attach(jobs[3].id, by="root")


async def test_what_came_with_a_start_is_there_before_the_job_is(
    manager: Manager, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await manager.start("/bin/cat", owner="alice", stdin=b"data")
    assert engine.input.data[JobId(job_id)] == b"data"
    assert manager.status(job_id).spec.input == Input.of(b"data")

    async def full(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(engine.input, "keep", full)
    with pytest.raises(StorageFull):
        await manager.start("/bin/cat", owner="alice", stdin=b"data")
    assert len((await manager.list()).jobs) == 1


async def test_a_key_stands_for_one_input(manager: Manager) -> None:
    first = await manager.start("/bin/cat", owner="a", stdin=b"one", idempotency_key="k")
    again = await manager.start("/bin/cat", owner="a", stdin=b"one", idempotency_key="k")
    assert again == first
    with pytest.raises(IdempotencyKeyReused):
        await manager.start("/bin/cat", owner="a", stdin=b"two", idempotency_key="k")


async def test_what_is_not_kept_cannot_be_read_again(manager: Manager) -> None:
    given = await manager.start("/bin/cat", owner="alice", stdin=b"data")
    with pytest.raises(InvalidRequest, match="4 bytes that came with its start"):
        await manager.rerun(given)
    again = await manager.rerun((await manager.submit(PIPE, "alice")).id)
    manager.attach(again.id).close()


async def test_reprs_show_who_feeds_which_job(manager: Manager) -> None:
    job = await manager.submit(PIPE, "alice")
    assert "<InputSessions: 0 jobs are fed>" in repr(manager)
    session = manager.attach(job.id, by="root")
    await session.open()
    await session.write(b"s3cret")
    assert repr(session) == f"<InputSession of {job.id} by root, 6 bytes taken>"
    assert repr(manager) == (
        "<Manager on <FakeEngine basic on fake: 1 running, 0 ended>: "
        "<LiveJobs: 1 BEGUN>, <InputSessions: 1 jobs are fed>>"
    )
    session.close()
    assert "<InputSessions: 0 jobs are fed>" in repr(manager)
