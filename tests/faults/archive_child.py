"""What the processes of test_archive_faults.py do: ``archive_child.py SCENE DATABASE``.

Prints one JSON value; a scene that is killed half-way prints what it had done by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.errors import StorageFull
from jobworker.model import (
    Cause,
    Completed,
    End,
    Job,
    JobId,
    JobQuery,
    Piece,
    Spec,
    Starting,
    Stream,
    Terms,
)
from jobworker.testing import MemoryOutput

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
OUTPUT = bytes(place * 7 % 251 for place in range(2_000_000))


def make_job(argument: str = "") -> Job:
    spec = Spec("/bin/echo", (argument,))
    return Job(JobId.new(), "alice", spec, Terms(), Starting(), MOMENT, "basic", "here")


def ended(job: Job) -> Job:
    return replace(job, status=Completed(End(Cause.EXITED, MOMENT, exit_code=0)))


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value))
    sys.stdout.flush()


async def added(archive: SqlArchive) -> None:
    """Add jobs at once; die as soon as they are acknowledged."""
    jobs = [make_job() for _ in range(50)]
    await asyncio.gather(*map(archive.add, jobs))
    say([job.id for job in jobs])
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyOutput(MemoryOutput):
    """Kills the process that reads it past the middle."""

    def read(self, stream: Stream, offset: int, length: int) -> Piece:
        if offset > len(OUTPUT) // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(stream, offset, length)


async def finishing(archive: SqlArchive) -> None:
    """Die half-way through the output of a job."""
    job = make_job()
    await archive.add(job)
    say(job.id)
    await archive.finish(ended(job), DeadlyOutput({Stream.STDOUT: OUTPUT}))


async def many(archive: SqlArchive) -> None:
    """Add and finish many jobs, next to another process that does the same."""
    jobs = [make_job() for _ in range(100)]
    for job in jobs:
        await archive.add(job)
        await archive.finish(ended(job), MemoryOutput({Stream.STDOUT: b"out"}))
    say([job.id for job in jobs])


async def quota(archive: SqlArchive) -> None:
    """Run into the largest size that a file may have (RLIMIT_FSIZE), then be given more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    await _run_out(
        archive,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1])),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before),
    )


async def full(archive: SqlArchive) -> None:
    """Run out of disk, then have room made."""
    ballast = Path(sys.argv[2]).with_name("ballast")
    await _run_out(archive, lambda: _fill(ballast), ballast.unlink)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # it is full
        while file.write(bytes(4096)):
            pass


async def _run_out(
    archive: SqlArchive, take_room: Callable[[], object], make_room: Callable[[], object]
) -> None:
    acknowledged = [make_job()]
    await archive.add(acknowledged[0])
    take_room()
    refusal = ""
    while not refusal:
        job = make_job("x" * 20_000)
        try:
            await archive.add(job)
            acknowledged.append(job)
        except StorageFull as error:
            refusal = str(error)
    finish_refused = await _is_refused(archive, acknowledged[0])
    kept = [job for job in acknowledged if archive.get(job.id) == job]
    listed = await archive.find(JobQuery(limit=1000))
    refused_is_absent = archive.get(job.id) is None
    make_room()
    await archive.add(job)
    await archive.finish(ended(acknowledged[0]), MemoryOutput({Stream.STDOUT: OUTPUT[:200_000]}))
    say(
        {
            "acknowledged": len(acknowledged),
            "refusal": refusal,
            "finish_refused": finish_refused,
            "kept": len(kept),
            "listed": len(listed.jobs),
            "refused_is_absent": refused_is_absent,
            "added_later": archive.get(job.id) == job,
            "output_later": archive.output(acknowledged[0].id).size(Stream.STDOUT),
        }
    )


async def _is_refused(archive: SqlArchive, job: Job) -> bool:
    """Whether its output finds no room; then the job must count as unfinished."""
    try:
        await archive.finish(ended(job), MemoryOutput({Stream.STDOUT: OUTPUT}))
    except StorageFull:
        return archive.get(job.id) == job
    return False


SCENES: dict[str, Callable[[SqlArchive], Awaitable[None]]] = {
    scene.__name__: scene for scene in (added, finishing, many, quota, full)
}


async def main() -> None:
    database = Database.open(Path(sys.argv[2]))
    await SCENES[sys.argv[1]](SqlArchive(database))
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
