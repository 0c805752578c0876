"""T70: the output that is kept of a user has a bound, and jobs that ask for nothing a share."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobworker.errors import StorageFull
from jobworker.jobs.starter import StartOrder
from jobworker.jobs.stored_output import StoredOutput
from jobworker.model import Job, Limits, Spec
from jobworker.output.reader import OutputReader
from jobworker.policy.authority import Authority
from jobworker.policy.rules import Rules
from jobworker.testing import MemoryArchive
from support.managed import Managed
from support.parts import BUDGET, Parts, until

MB = 1 << 20
GB = 1 << 30


def stored(kept: int = 0, reserved: int = 0) -> StoredOutput:
    found = StoredOutput()
    found.learn("alice", kept)
    found.reserve("alice", reserved)
    return found


@pytest.mark.parametrize(
    ("kept", "reserved", "asked", "granted", "allotted"),
    [
        (0, 0, None, GB, GB),
        (0, 0, None, None, 2 * GB),
        (16 * GB, 0, None, 2 * GB, GB),
        (16 * GB, 8 * GB, None, GB, GB // 2),
        # However many there are, each gets a little
        (0, 32 * GB, None, GB, MB),
        (0, 40 * GB, None, GB, MB),
        (0, 0, None, 100, 100),
        # What is asked for is given whole, or not at all
        (0, 0, 20 * GB, 20 * GB, 20 * GB),
        (12 * GB, 0, 20 * GB, 20 * GB, 20 * GB),
    ],
)
def test_the_share_of_a_job(
    kept: int, reserved: int, asked: int | None, granted: int | None, allotted: int
) -> None:
    assert stored(kept, reserved).allot("alice", 32 * GB, asked, granted) == allotted


@pytest.mark.parametrize(
    ("kept", "reserved", "asked", "why"),
    [
        (32 * GB, 0, None, "the stored output of alice takes 32 GiB, and may take 32 GiB"),
        (40 * GB, 0, 1, "takes 40 GiB"),
        (12 * GB, 1 * GB, 20 * GB, "limits.output 20 GiB was asked for; there is room for 19 GiB"),
        (0, 40 * GB, 1, "there is room for 0 bytes more"),
    ],
)
def test_a_job_that_there_is_no_room_for(
    kept: int, reserved: int, asked: int | None, why: str
) -> None:
    with pytest.raises(StorageFull, match=why) as refused:
        stored(kept, reserved).allot("alice", 32 * GB, asked, asked or GB)
    assert refused.value.hint
    assert "jobctl rm" in refused.value.hint


def test_many_jobs_that_ask_for_nothing_are_never_above_the_bound_but_for_the_least() -> None:
    found, total = stored(), 0
    for _ in range(500):
        limit = found.allot("alice", 32 * GB, None, GB)
        assert limit
        found.reserve("alice", limit)
        total += limit if limit > MB else 0
    assert total < 32 * GB


def test_what_ends_and_what_is_removed_is_counted_once_it_is_known() -> None:
    found = StoredOutput()
    assert found.changes("alice") == 0
    found.add("alice", 5)
    assert found.changes("alice") == 1, "who asks the archive now has to look again"
    found.learn("alice", GB - 1)
    assert found.changes("alice") is None
    found.add("alice", 1)
    with pytest.raises(StorageFull):
        found.allot("alice", GB, None, GB)
    found.add("alice", -MB)
    assert found.allot("alice", GB, None, GB) == MB
    found.learn("bob", 0)
    assert found.allot("bob", GB, None, GB) == GB // 16, "everybody has their own"


def bounded(bound: int, archive: MemoryArchive | None = None) -> Parts:
    parts = Parts(archive=archive)
    rules = Rules(stored_output=bound)
    parts.authority.replace(rules)
    assert isinstance(parts.authority, Authority)
    return parts


ORDER = StartOrder(Spec("/bin/true"), "alice")


async def test_a_live_job_holds_its_share_and_an_ended_one_what_it_wrote() -> None:
    parts = bounded(16 * MB * 16)
    async with asyncio.timeout(BUDGET):
        first, second = await parts.starter.start(ORDER), await parts.starter.start(ORDER)
        assert first.terms.limits.output == 16 * MB
        assert second.terms.limits.output == 15 * MB
        parts.engine.exit(first.id)
        await parts.queries.wait(first.id)
        await until(lambda: not parts.live_jobs.get(first.id))
        third = await parts.starter.start(ORDER)
    assert third.terms.limits.output == (16 * 16 - 15) * MB // 16


async def test_who_has_too_much_is_refused_with_no_job_recorded() -> None:
    class Full(MemoryArchive):
        async def stored(self, owner: str) -> int:
            return GB if owner == "alice" else 0

    parts = bounded(GB, Full())
    with pytest.raises(StorageFull):
        await parts.starter.start(ORDER)
    assert await parts.archive.unfinished() == []
    assert await parts.starter.start(replace(ORDER, owner="bob"))
    asked = replace(ORDER, owner="bob", spec=Spec("/bin/true", limits=Limits(output=2 * GB)))
    with pytest.raises(StorageFull):
        await parts.starter.start(asked)


async def test_without_a_bound_nothing_is_asked_or_changed() -> None:
    class Silent(MemoryArchive):
        async def stored(self, owner: str) -> int:
            raise AssertionError(owner)

    parts = Parts(archive=Silent())
    job = await parts.starter.start(ORDER)
    assert job.terms.limits.output == GB


async def test_what_is_removed_before_it_was_archived_is_counted_no_more() -> None:
    """On a full disk ``rm`` drops a job that the archive could not take."""

    class Full(MemoryArchive):
        async def finish(self, job: Job, output: OutputReader) -> None:
            raise StorageFull(f"no room for {job.id} of {output}")

    managed = Managed(archive=Full())
    managed.authority.replace(Rules(stored_output=32 * MB))
    await managed.manager.recover()
    async with asyncio.timeout(BUDGET):
        job_id = await managed.start(Spec("/bin/cat"))
        managed.engine.write(job_id, bytes(MB))
        managed.engine.exit(job_id)
        await managed.manager.wait(job_id)
        await managed.manager.remove(job_id)
        assert await managed.start(Spec("/bin/cat", limits=Limits(output=32 * MB)))
    await managed.manager.close()
