"""Lists of jobs in a small and in a large archive: the CPU of a page of five, by its filters.

``python -m bench.lists`` prints them all. The archive alone is measured, without HTTP, as that
is what grows. ``--keep DIR`` keeps the archives there, and takes them from there the next time:
so can those of another version be, which are upgraded then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.figures import Figure

from jobworker.archive.cursors import cursor_at
from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.jobs.lifecycle import final_status
from jobworker.model import (
    Cause,
    End,
    Job,
    JobId,
    JobQuery,
    Limits,
    Spec,
    Starting,
    StatusName,
    Terms,
    Usage,
)
from jobworker.testing import MemoryOutput

_PAGE = 5
_ROUNDS = 15
"""Times that each list is read, the archives in turn."""

_AT_ONCE = 64
"""Jobs that are recorded at the same time, as many as share a transaction."""

_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_APART = timedelta(seconds=10)
_OLD = 20
"""Jobs at the beginning of an archive that have what no later one has."""

_TERMS = Terms(Limits(memory=1 << 30, output=1 << 26))
_RUNNING = 50
"""Jobs at the end of an archive that have not ended."""


@dataclass(frozen=True)
class Sizes:
    """Jobs in the two archives."""

    small: int
    large: int


@dataclass(frozen=True)
class _Archive:
    archive: SqlArchive
    database: Database
    jobs: int
    filling: float | None
    """Microseconds of CPU that a job's record took, beginning and end; None where it was there."""


def main() -> None:
    """Print what every list takes in both archives."""
    arguments = _parse()
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-lists-") as directory:
        places = arguments.keep or Path(directory)
        sizes = Sizes(arguments.small, arguments.large)
        print(asyncio.run(_report(places, sizes)))


def figures(sizes: Sizes) -> list[Figure]:
    """The slowest of the lists, the one that grows most, and what a job's record takes."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-lists-") as directory:
        times, opened = asyncio.run(_measured(Path(directory), sizes))
    small, large = times
    asked = small.keys() - _crossed().keys()
    growth = max(large[what] / small[what] for what in asked)
    slowest = max(large[what] for what in asked)
    filling = [each.filling for each in opened if each.filling is not None]
    return [
        Figure(f"a list of {_PAGE} of {sizes.large:,} jobs, the most CPU", [slowest], "ms"),
        Figure(f"  times the same of {sizes.small:,}, at most", [growth], "times", at_most=2),
        Figure("CPU of a job's record, its beginning and its end", filling, "µs"),
    ]


async def _report(places: Path, sizes: Sizes) -> str:
    times, opened = await _measured(places, sizes)
    small, large = times
    lines = [f"{'list':60} {sizes.small:>9,} {sizes.large:>9,}  times"]
    lines += [
        f"{what:60} {small[what]:9.2f} {large[what]:9.2f} {large[what] / small[what]:6.1f}"
        for what in small
    ]
    for each in opened:
        size = each.database.path.stat().st_size / each.jobs
        filling = "" if each.filling is None else f", {each.filling:.0f} µs of CPU a job"
        lines.append(f"{each.jobs:,} jobs: {size:.0f} bytes of the file a job{filling}")
    return "\n".join(lines)


async def _measured(places: Path, sizes: Sizes) -> tuple[list[dict[str, float]], list[_Archive]]:
    """The medians of every list in ms of CPU, for each archive: the disk is in memory anyway."""
    opened = [await _opened(places / f"{jobs}.db", jobs) for jobs in (sizes.small, sizes.large)]
    try:
        return await _medians(opened), opened
    finally:
        for each in opened:
            await each.database.close()


async def _medians(opened: Sequence[_Archive]) -> list[dict[str, float]]:
    lists = [_lists(each.jobs) | _crossed() for each in opened]
    times: list[dict[str, list[float]]] = [{what: [] for what in lists[0]} for _ in opened]
    for _ in range(_ROUNDS):
        for what in lists[0]:
            for number, each in enumerate(opened):
                began = time.process_time()
                await each.archive.find(lists[number][what])
                times[number][what].append((time.process_time() - began) * 1000)
    return [{what: statistics.median(each[what]) for what in each} for each in times]


def _lists(jobs: int) -> dict[str, JobQuery]:
    """What users ask for, and what stands in the way of an index."""
    middle = cursor_at(jobs // 2)
    early, late = _created(jobs // 20), _created(jobs - jobs // 20)
    alice, bob = JobQuery(owner="alice"), JobQuery(owner="bob")
    asked = {
        "all": JobQuery(),
        "all, from the middle": JobQuery(cursor=middle),
        "owner": alice,
        "owner, from the middle": replace(alice, cursor=middle),
        "owner with old jobs alone": JobQuery(owner="carol"),
        "owner without jobs": JobQuery(owner="nobody"),
        "status": JobQuery(status=StatusName.COMPLETED),
        "status of old jobs alone": JobQuery(status=StatusName.STOPPED),
        "status Running": JobQuery(status=StatusName.RUNNING),
        "status Queued, of none": JobQuery(status=StatusName.QUEUED),
        "owner + status": replace(alice, status=StatusName.COMPLETED),
        "owner + status, both common, together none": replace(alice, status=StatusName.FAILED),
        "owner + status Running": replace(alice, status=StatusName.RUNNING),
        "owner + status Running, of none": JobQuery(owner="carol", status=StatusName.RUNNING),
        "label of all": JobQuery(labels={"env": "prod"}),
        "label of all, from the middle": JobQuery(labels={"env": "prod"}, cursor=middle),
        "label of old jobs alone": JobQuery(labels={"kind": "odd"}),
        "label of none": JobQuery(labels={"kind": "none"}),
        "two labels, of all and of half": JobQuery(labels={"env": "prod", "team": "blue"}),
        "two labels, of all and of none": JobQuery(labels={"env": "prod", "team": "none"}),
        "owner + label of all": replace(alice, labels={"env": "prod"}),
        "owner + label of old jobs alone": replace(alice, labels={"kind": "odd"}),
        "owner + label of none": replace(alice, labels={"kind": "none"}),
        "owner with old jobs alone + label of all": JobQuery(owner="carol", labels={"env": "prod"}),
        "owner + label, both common, together none": replace(alice, labels={"team": "red"}),
        "program": JobQuery(program="/bin/true"),
        "program of old jobs alone": JobQuery(program="/bin/rare"),
        "program of none": JobQuery(program="/bin/none"),
        "owner + program": replace(alice, program="/bin/true"),
        "owner + program of old jobs alone": replace(alice, program="/bin/rare"),
        "owner + program of none": replace(alice, program="/bin/none"),
        "owner + program, both common, together none": replace(alice, program="/opt/bob"),
        "name": JobQuery(name="nightly"),
        "name of none": JobQuery(name="none"),
        "name of one old job": JobQuery(name="first"),
        "owner + name": replace(alice, name="nightly"),
        "owner + name of none": replace(alice, name="none"),
        "owner + name of one old job": JobQuery(owner="carol", name="first"),
        "owner + name, both common, together none": replace(bob, name="alices"),
        "until, late": JobQuery(until=late),
        "until, early": JobQuery(until=early),
        "until, before all": JobQuery(until=_FIRST),
        "since, late": JobQuery(since=late),
        "since, after all": JobQuery(since=_created(2 * jobs)),
        "since + until, the middle": JobQuery(
            since=_created(jobs // 2 - 20), until=_created(jobs // 2)
        ),
        "owner + until, early": replace(alice, until=early),
        "owner + since, after all": replace(alice, since=_created(2 * jobs)),
        "owner + since + until, of none": replace(
            alice, since=_created(jobs // 2), until=_created(jobs // 2) + _APART / 2
        ),
        "owner + status + until, early": replace(alice, status=StatusName.COMPLETED, until=early),
        "status + since, of none": JobQuery(status=StatusName.STOPPED, since=early),
        "label of all + until, early": JobQuery(labels={"env": "prod"}, until=early),
        "beginning of an ID": JobQuery(id_prefix="j-8f14ca"),
        "beginning of an ID that all have": JobQuery(id_prefix="j-"),
        "owner + beginning of an ID": replace(alice, id_prefix="j-8f14ca"),
    }
    return {what: replace(query, limit=_PAGE) for what, query in asked.items()}


def _crossed() -> dict[str, JobQuery]:
    """Lists without an index: a page takes as long as the rarest of the conditions has jobs."""
    failed = JobQuery(status=StatusName.FAILED, limit=_PAGE)
    return {
        "program + status, both common, together none": replace(failed, program="/usr/bin/python3"),
        "label + status, both common, together none": replace(failed, labels={"team": "blue"}),
        "name + program, both common, together none": JobQuery(
            name="alices", program="/opt/bob", limit=_PAGE
        ),
    }


async def _opened(path: Path, jobs: int) -> _Archive:
    there = os.path.exists(path)  # noqa: ASYNC240, PTH110 - nothing else runs here
    database = Database.open(path)
    archive = SqlArchive(database)
    filling = None if there else await _fill(archive, jobs)
    return _Archive(archive, database, jobs, filling)


async def _fill(archive: SqlArchive, jobs: int) -> float:
    """Records the jobs; returns the CPU that each took, in microseconds."""
    taken = 0.0
    for first in range(0, jobs, _AT_ONCE):
        group = [_job(number) for number in range(first, min(first + _AT_ONCE, jobs))]
        ended = [_ended(job) for job in group[: max(0, jobs - _RUNNING - first)]]
        began = time.process_time()
        await asyncio.gather(*(archive.add(job) for job in group))
        await asyncio.gather(*(archive.finish(job, MemoryOutput()) for job in ended))
        taken += time.process_time() - began
    return taken / jobs * 1e6


def _created(number: int) -> datetime:
    return _FIRST + number * _APART


def _job(number: int) -> Job:
    old = number < _OLD
    owner = "carol" if old else "alice" if number % 5 < 3 else "bob"
    own = "/opt/bob" if owner == "bob" else "/usr/bin/python3"
    spec = Spec(
        "/bin/rare" if old else "/bin/true" if number % 2 else own,
        args=("--job", str(number)),
        name=_name(number, owner),
        labels={"env": "prod", "team": "blue" if owner == "alice" else "red"}
        | ({"kind": "odd"} if old else {}),
    )
    return Job(
        id=JobId.new(),
        owner=owner,
        spec=spec,
        terms=_TERMS,
        status=Starting(),
        created_at=_created(number),
        containment="full",
        node="here",
    )


def _name(number: int, owner: str) -> str | None:
    if number == _OLD // 2:
        return "first"
    if number % 10 == 0:
        return "nightly"
    return "alices" if owner == "alice" and number % 3 else None


def _ended(job: Job) -> Job:
    """Old jobs were stopped; jobs of bob's fail, those of alice's do not."""
    code = 1 if job.owner == "bob" and job.spec.program == "/opt/bob" else 0
    end = End(
        Cause.STOPPED if job.owner == "carol" else Cause.EXITED,
        finished_at=job.created_at + _APART,
        started_at=job.created_at,
        exit_code=code,
        usage=Usage(0.25, 8 << 20),
    )
    return replace(job, status=final_status(end))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=4_000)
    parser.add_argument("--large", type=int, default=400_000)
    parser.add_argument("--keep", type=Path, metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    main()
