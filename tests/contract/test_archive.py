"""What every archive must do; the shipped fake is held to it like the real one."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobworker.archive import sqlite, upgrade
from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.errors import InvalidRequest, JobNotFound, JobRunning
from jobworker.jobs.lifecycle import final_status
from jobworker.jobs.ports import Archive
from jobworker.model import (
    Cause,
    End,
    Job,
    JobId,
    JobQuery,
    Page,
    Piece,
    Queued,
    Running,
    Spec,
    Starting,
    StartKey,
    StatusName,
    Stream,
    Terms,
    Usage,
    brief,
)
from jobworker.testing import MemoryArchive, MemoryOutput

CREATED = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
LARGE = 1_300_000  # more than two chunks, and the last one is not full


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: to make one takes the migrations."""
    path = tmp_path_factory.mktemp("archive") / "jobd.db"
    sqlite.create(path, upgrade.migrate)
    return path


@pytest.fixture(params=["memory", "sql"])
async def archive(
    request: pytest.FixtureRequest, empty_database: Path, tmp_path: Path
) -> AsyncIterator[Archive]:
    if request.param == "memory":
        yield MemoryArchive()
        return
    path = tmp_path / "jobd.db"
    shutil.copy(empty_database, path)
    database = Database.open(path)
    yield SqlArchive(database)
    await database.close()


def make_job(spec: Spec | None = None, *, owner: str = "alice", created: datetime = CREATED) -> Job:
    return Job(
        id=JobId.new(),
        owner=owner,
        spec=spec or Spec("/bin/true"),
        terms=Terms(),
        status=Starting(),
        created_at=created,
        containment="basic",
        node="here",
    )


def ended(job: Job, **changes: object) -> Job:
    end = replace(End(Cause.EXITED, finished_at=CREATED, exit_code=0), **changes)  # type: ignore[arg-type]  # any field of it
    return replace(job, status=final_status(end))


def written(stdout: bytes = b"", stderr: bytes = b"", index: bytes = b"") -> MemoryOutput:
    return MemoryOutput({Stream.STDOUT: stdout, Stream.STDERR: stderr, Stream.INDEX: index})


async def finished(archive: Archive, job: Job, output: MemoryOutput | None = None) -> Job:
    await archive.add(job)
    final = ended(job)
    await archive.finish(final, output or written())
    return final


async def test_a_job_comes_back_as_it_was_accepted(archive: Archive) -> None:
    spec = Spec(
        "/bin/echo",
        args=("plain", "nul\0", "\udcff\udc80", "snow ☃ \U0001f600", '"\\'),
        env={"A": "1", "B": "\udcfe"},
        cwd="/",
        name="greeting",
        labels={"team": "blue", "tier": "ü"},
    )
    job = make_job(spec)
    await archive.add(job)
    assert archive.get(job.id) == job


async def test_an_end_leaves_the_spec_as_it_was_accepted(archive: Archive) -> None:
    """A job that has ended is ``brief``: what is long in its spec is in the archive alone."""
    job = make_job(Spec("/bin/echo", ("x" * 5000,), {"LONG": "y" * 5000}))
    await archive.add(job)
    await archive.finish(brief(ended(job)), written())
    assert archive.get(job.id) == ended(job)


async def test_the_output_of_an_owner_is_summed_up(archive: Archive) -> None:
    """Of finished jobs, and of that owner alone."""
    assert await archive.stored("alice") == 0
    first = await finished(archive, make_job(), written(b"x" * LARGE, b"yy"))
    await finished(archive, make_job(), written(b"z"))
    await finished(archive, make_job(owner="bob"), written(b"not hers"))
    await archive.add(make_job())
    assert await archive.stored("alice") == LARGE + 3
    await archive.remove(first.id)
    assert await archive.stored("alice") == 1


async def test_a_live_status_is_not_kept(archive: Archive) -> None:
    """The archive knows that a job was accepted and how it ended; the manager the rest."""
    job = make_job()
    await archive.add(replace(job, status=Running(CREATED, 4711)))
    assert archive.get(job.id) == job


async def test_an_unknown_job_is_none(archive: Archive) -> None:
    assert archive.get(JobId.new()) is None


END_CHANGES = [
    {},
    {"exit_code": 3, "usage": Usage(1.25, 4096, 10, 20, 30)},
    {"started_at": CREATED + timedelta(microseconds=1), "detail": "program said \udcff"},
    {"cause": Cause.SIGNALED, "exit_code": None, "signal": "SIGSEGV"},
    {"cause": Cause.STOPPED, "exit_code": None, "signal": "SIGKILL", "stopped_by": "bob"},
    {"cause": Cause.LOST, "exit_code": None, "detail": "the machine restarted"},
]


@pytest.mark.parametrize("changes", END_CHANGES)
async def test_an_end_comes_back_as_it_was(archive: Archive, changes: dict[str, object]) -> None:
    job = make_job()
    await archive.add(job)
    final = ended(job, **changes)
    await archive.finish(final, written())
    assert archive.get(job.id) == final


async def test_finish_twice_leaves_the_first(archive: Archive) -> None:
    job = make_job()
    final = await finished(archive, job, written(b"first"))
    await archive.finish(ended(job, exit_code=9), written(b"second"))
    assert archive.get(job.id) == final
    assert archive.output(job.id).read(Stream.STDOUT, 0, 100).data == b"first"


@pytest.mark.parametrize("size", [0, LARGE])
async def test_finish_of_an_unknown_job_is_refused(archive: Archive, size: int) -> None:
    with pytest.raises(JobNotFound):
        await archive.finish(ended(make_job()), written(bytes(size)))


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 512 * 1024, LARGE])
async def test_output_comes_back_byte_for_byte(archive: Archive, size: int) -> None:
    stdout = bytes(place * 7 % 251 for place in range(size))
    job = make_job()
    await finished(archive, job, written(stdout, b"\xff\0\n", b"index"))
    output = archive.output(job.id)
    assert [output.size(stream) for stream in Stream] == [5, size, 3]
    assert output.read(Stream.STDOUT, 0, size + 10) == Piece(0, stdout)
    assert output.read(Stream.STDERR, 0, 100).data == b"\xff\0\n"
    assert output.read(Stream.INDEX, 0, 100).data == b"index"
    output.close()


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (5, 0),
        (524_287, 2),
        (524_288, 524_288),
        (524_289, 524_288),
        (LARGE - 1, 10),
        (LARGE, 10),
        (LARGE + 600_000, 10),
        (100, LARGE),
    ],
)
async def test_any_part_of_an_output_can_be_read(
    archive: Archive, offset: int, length: int
) -> None:
    stdout = bytes(place * 7 % 251 for place in range(LARGE))
    job = make_job()
    await finished(archive, job, written(stdout))
    part = archive.output(job.id).read(Stream.STDOUT, offset, length)
    assert part == Piece(offset, stdout[offset : offset + length])


async def test_there_is_no_output_before_the_end_is_recorded(archive: Archive) -> None:
    job = make_job()
    await archive.add(job)
    with pytest.raises(JobNotFound):
        archive.output(job.id)
    with pytest.raises(JobNotFound):
        archive.output(JobId.new())


async def test_a_withdrawn_job_is_forgotten(archive: Archive) -> None:
    job = make_job()
    await archive.add(job)
    await archive.roll_back(job.id)
    await archive.roll_back(job.id)
    assert archive.get(job.id) is None
    assert await archive.unfinished() == []


async def test_a_finished_job_cannot_be_withdrawn(archive: Archive) -> None:
    final = await finished(archive, make_job())
    await archive.roll_back(final.id)
    assert archive.get(final.id) == final


async def test_a_removed_job_leaves_nothing(archive: Archive) -> None:
    spec = Spec("/bin/true", labels={"a": "b"})
    kept = await finished(archive, make_job(spec), written(b"kept"))
    gone = await finished(archive, make_job(spec), written(bytes(LARGE)))
    await archive.remove(gone.id)
    assert archive.get(gone.id) is None
    with pytest.raises(JobNotFound):
        archive.output(gone.id)
    assert await archive.find(JobQuery(labels={"a": "b"})) == Page((kept,), None)
    after = await finished(archive, make_job(), written(b"new"))
    assert archive.output(after.id).size(Stream.STDOUT) == 3


async def test_only_a_finished_job_is_removed(archive: Archive) -> None:
    job = make_job()
    with pytest.raises(JobNotFound):
        await archive.remove(job.id)
    await archive.add(job)
    with pytest.raises(JobRunning):
        await archive.remove(job.id)
    assert archive.get(job.id) == job


async def test_a_job_that_was_not_finished_can_be_dropped_and_its_key_stays(
    archive: Archive,
) -> None:
    """Its output need not be stored for that; nor is what an attempt has stored left."""
    job, other = make_job(), make_job()
    await archive.add(job, StartKey("key", b"d" * 32))
    await archive.add(other)
    await archive.drop(job.id)
    await archive.drop(job.id)
    assert archive.get(job.id) is None
    assert await archive.unfinished() == [other]
    binding = archive.binding("alice", "key")
    assert binding
    assert binding.job_id == job.id


async def test_a_finished_job_can_be_dropped(archive: Archive) -> None:
    final = await finished(archive, make_job(), written(bytes(LARGE)))
    await archive.drop(final.id)
    assert archive.get(final.id) is None


async def test_t75_an_admitted_job_is_known_to_have_been_accepted(archive: Archive) -> None:
    """So that it can wait once more where nothing came of its start; it counts as running."""
    queued, started = replace(make_job(), status=Queued()), make_job()
    for job in (queued, started):
        await archive.add(job)
    await archive.admit(queued.id)
    unfinished = {job.id: job.status for job in await archive.unfinished()}
    assert unfinished == {queued.id: Starting(acknowledged=True), started.id: Starting()}
    running = await archive.find(JobQuery(status=StatusName.RUNNING))
    assert {job.id for job in running.jobs} == {queued.id, started.id}
    assert (await archive.find(JobQuery(status=StatusName.QUEUED))).jobs == ()


async def test_an_admitted_job_can_be_put_back(archive: Archive) -> None:
    """One that has ended cannot."""
    job = replace(make_job(), status=Queued())
    await archive.add(job)
    await archive.admit(job.id)
    await archive.put_back(job.id)
    assert archive.get(job.id) == job
    final = await finished(archive, make_job())
    await archive.put_back(final.id)
    await archive.put_back(JobId.new())
    assert archive.get(final.id) == final


async def test_unfinished_are_those_without_an_end_oldest_first(archive: Archive) -> None:
    jobs = [make_job(created=CREATED - timedelta(days=day)) for day in range(4)]
    for job in jobs:
        await archive.add(job)
    await archive.finish(ended(jobs[1]), written())
    await archive.roll_back(jobs[2].id)
    assert await archive.unfinished() == [jobs[0], jobs[3]]


async def listed(archive: Archive, query: JobQuery) -> list[str]:
    """The names of the jobs that match."""
    return [job.spec.name or "" for job in (await archive.find(query)).jobs]


@pytest.fixture
async def several(archive: Archive) -> dict[str, Job]:
    """Jobs by their names, in the order in which they were added."""
    jobs = {}
    for hour, (name, owner, program, labels) in enumerate(
        [
            ("one", "alice", "/bin/a", {"team": "blue"}),
            ("two", "bob", "/bin/b", {"team": "blue", "tier": "1"}),
            ("three", "alice", "/bin/b%", {"team": "red", "tier": "1"}),
            ("four", "alice", "/bin/\udcff", {}),
        ]
    ):
        spec = Spec(program, name=name, labels=labels)
        jobs[name] = make_job(spec, owner=owner, created=CREATED + timedelta(hours=hour))
        await archive.add(jobs[name])
    await archive.finish(ended(jobs["two"]), written())
    await archive.finish(ended(jobs["three"], exit_code=1), written())
    return jobs


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (JobQuery(), ["four", "three", "two", "one"]),
        (JobQuery(owner="alice"), ["four", "three", "one"]),
        (JobQuery(owner="alice%"), []),
        (JobQuery(owner="carol"), []),
        (JobQuery(status=StatusName.RUNNING), ["four", "one"]),
        (JobQuery(status=StatusName.FAILED), ["three"]),
        (JobQuery(status=StatusName.COMPLETED, owner="alice"), []),
        (JobQuery(program="/bin/b"), ["two"]),
        (JobQuery(program="/bin/b%"), ["three"]),
        (JobQuery(program="/bin/\udcff"), ["four"]),
        (JobQuery(name="one"), ["one"]),
        (JobQuery(labels={"team": "blue"}), ["two", "one"]),
        (JobQuery(labels={"team": "blue", "tier": "1"}), ["two"]),
        (JobQuery(labels={"team": "\udcff"}), []),
        (JobQuery(since=CREATED + timedelta(hours=2)), ["four", "three"]),
        (JobQuery(until=CREATED + timedelta(hours=2)), ["two", "one"]),
        (JobQuery(id_prefix=""), ["four", "three", "two", "one"]),
        (JobQuery(id_prefix="j-"), ["four", "three", "two", "one"]),
        (JobQuery(id_prefix="J-"), []),
        (JobQuery(id_prefix="%"), []),
        (JobQuery(id_prefix="_-"), []),
        (JobQuery(id_prefix="\udcff"), []),
    ],
)
async def test_find_keeps_to_every_condition(
    archive: Archive, several: dict[str, Job], query: JobQuery, names: list[str]
) -> None:
    assert len(several) == 4
    assert await listed(archive, query) == names


MANY = 1300
"""Jobs: more than two blocks of numbers, and of each kind more than are worth a look each."""


def created_of(number: int) -> datetime:
    """Ten seconds apart, but neighbours have changed places, and the clock was put back twice."""
    back = 6000 * (number >= 510) + 500 * (number >= 1200)
    return CREATED + timedelta(seconds=10 * (number ^ 1) - back)


@pytest.fixture
async def many(archive: Archive) -> list[Job]:
    """Jobs with every common and every rare property, newest first."""
    jobs = []
    for number in range(MANY):
        spec = Spec(
            "/bin/rare" if number == 3 else "/bin/a" if number % 3 else "/bin/b",
            name="rare" if number == 505 else "common" if number % 2 else None,
            labels={"all": "x", "half": str(number % 2)} | ({"rare": "x"} if number < 3 else {}),
        )
        owner = "carol" if number < 2 else "alice" if number % 2 else "bob"
        jobs.append(make_job(spec, owner=owner, created=created_of(number)))
    for group in batched(jobs):
        await asyncio.gather(*(archive.add(job) for job in group))
    jobs = [ended(job) if number < MANY - 7 else job for number, job in enumerate(jobs)]
    for group in batched([job for job in jobs if job.ended]):
        await asyncio.gather(*(archive.finish(job, written()) for job in group))
    return jobs[::-1]


def batched(jobs: list[Job]) -> list[list[Job]]:
    return [jobs[first : first + 64] for first in range(0, len(jobs), 64)]


MOMENTS = [
    None,
    CREATED,
    CREATED + timedelta(seconds=1),
    created_of(500),
    created_of(1199),
    created_of(1299),
    created_of(1200) + timedelta(seconds=995),
    CREATED + timedelta(days=1),
]
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"owner": "alice"},
    {"owner": "carol"},
    {"owner": "nobody"},
    {"status": StatusName.COMPLETED},
    {"status": StatusName.RUNNING},
    {"status": StatusName.STOPPED},
    {"program": "/bin/a"},
    {"program": "/bin/rare"},
    {"program": "/bin/none"},
    {"name": "common"},
    {"name": "rare"},
    {"labels": {"all": "x"}},
    {"labels": {"all": "x", "half": "1"}},
    {"labels": {"rare": "x"}},
    {"labels": {"all": "none"}},
    {"id_prefix": "j-"},
    {"id_prefix": "j-8"},
]


async def expect(archive: Archive, many: list[Job], query: JobQuery) -> None:
    """The first two pages are what a look at each job finds."""
    expected = [job for job in many if query.matches(job)]
    first = await archive.find(query)
    assert list(first.jobs) == expected[: query.limit], query
    assert (first.next is None) == (len(expected) <= query.limit), query
    if first.next:
        second = await archive.find(replace(query, cursor=first.next))
        assert list(second.jobs) == expected[query.limit : 2 * query.limit], query


async def test_of_many_jobs_those_are_found_that_fulfil_all_conditions(
    archive: Archive, many: list[Job]
) -> None:
    for one, other in itertools.combinations_with_replacement(CONDITIONS, 2):
        await expect(archive, many, JobQuery(**{**one, **other}, limit=5))


async def test_times_find_every_job_though_the_clock_was_put_back(
    archive: Archive, many: list[Job]
) -> None:
    some: list[dict[str, Any]] = [
        {},
        {"owner": "alice"},
        {"labels": {"half": "1"}},
        {"name": "rare"},
        {"status": StatusName.RUNNING},
    ]
    for since, until in itertools.product(MOMENTS, repeat=2):
        for conditions in some:
            query = JobQuery(**conditions, since=since, until=until, limit=5)
            await expect(archive, many, query)


async def test_times_find_jobs_after_all_others_were_removed(
    archive: Archive, many: list[Job]
) -> None:
    """The database may give their numbers again."""
    for group in batched(many):
        await asyncio.gather(*(archive.drop(job.id) for job in group))
    later = make_job(created=CREATED + timedelta(days=2))
    earlier = make_job(created=CREATED - timedelta(days=2))
    for job in (later, earlier):
        await archive.add(job)
    assert (await archive.find(JobQuery(since=CREATED + timedelta(days=1)))).jobs == (later,)
    assert (await archive.find(JobQuery(until=CREATED))).jobs == (earlier,)


async def test_find_gives_the_jobs_themselves(archive: Archive, several: dict[str, Job]) -> None:
    page = await archive.find(JobQuery(name="three"))
    assert page == Page((ended(several["three"], exit_code=1),), None)


async def test_find_by_a_prefix_of_the_id(archive: Archive, several: dict[str, Job]) -> None:
    job = several["one"]
    for length in range(10, len(job.id) + 1):
        assert await listed(archive, JobQuery(id_prefix=job.id[:length])) == ["one"]
    assert await listed(archive, JobQuery(id_prefix=job.id + "0")) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_pages_follow_each_other_without_gap_or_repeat(
    archive: Archive, several: dict[str, Job], limit: int
) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = await archive.find(JobQuery(limit=limit, cursor=cursor))
        assert len(page.jobs) == limit or page.next is None
        seen += [job.spec.name or "" for job in page.jobs]
        if page.next is None:
            break
        cursor = page.next
    assert seen == ["four", "three", "two", "one"]
    assert len(several) == 4


async def test_a_cursor_outlives_the_job_it_was_made_at(
    archive: Archive, several: dict[str, Job]
) -> None:
    page = await archive.find(JobQuery(limit=2))
    await archive.remove(several["three"].id)
    await archive.add(make_job(Spec("/bin/true", name="five")))
    assert await listed(archive, JobQuery(limit=2, cursor=page.next)) == ["two", "one"]


BAD_CURSORS = [
    "",
    "x",
    "one",
    "AAAAAAAAAAA=",
    "//////////8",
    "__________8",
    "AAAAAAAAAAB",
    "ü",
    "\0",
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
async def test_a_cursor_that_was_not_given_is_refused(archive: Archive, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await archive.find(JobQuery(cursor=cursor))
    assert refusal.value.field == "cursor"


async def test_a_limit_below_one_is_refused(archive: Archive) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await archive.find(JobQuery(limit=0))
    assert refusal.value.field == "limit"
