"""The jobs of a spawner that was killed: each is followed again, whatever is wrong with another."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobworker.engines.local.engine import LocalEngine
from jobworker.errors import JobNotRunning
from jobworker.jobs.lifecycle import Ended, Event, StopAsked
from jobworker.model import JobId, StopRequest
from support.engine_rigs import BUDGET, LocalRig, Told

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[LocalRig]:
    made = LocalRig(tmp_path)
    await made.open()
    await made.engine.recover([])
    yield made
    await made.close()


def parts_of(rig: LocalRig) -> Any:
    """The engine with its private parts, for windows that no test could hit from outside."""
    assert isinstance(rig.engine, LocalEngine)
    return rig.engine


async def kill_spawner(rig: LocalRig) -> None:
    """Returns once another one is in its place."""
    link = parts_of(rig)._spawner
    old = link._spawner
    os.kill(old._pid, signal.SIGKILL)
    async with asyncio.timeout(BUDGET):
        while link._spawner is old:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


class Manager(Told):
    """A listener for whom one job has ended already: a stop of it raises, as in the manager."""

    over: JobId | None = None

    def __call__(self, job_id: JobId, event: Event) -> None:
        if isinstance(event, StopAsked) and job_id == self.over:
            raise JobNotRunning
        super().__call__(job_id, event)


async def test_t76_a_stop_that_is_found_too_late_leaves_the_others_followed(rig: LocalRig) -> None:
    rig.told = manager = Manager()
    rig.engine.listen(manager)
    late, *others = [await rig.start() for _ in range(3)]
    manager.over = late.id
    # The stop is on record, and not carried out yet, though the job has ended for the manager.
    parts_of(rig)._spool.note_stop(late.id, StopRequest("bob", NOW, grace=1000.0))
    await kill_spawner(rig)
    for job in (*others, late):
        await rig.exit(job, 4)
        assert (await rig.told.first(job, Ended)).end.exit_code == 4


async def test_t76_a_job_that_cannot_be_looked_at_is_looked_at_again(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the others at once: no descriptor is free, say."""
    first, other = [await rig.start() for _ in range(2)]
    spool = parts_of(rig)._spool
    look, failures = spool.record, iter(range(2))

    def record(job_id: JobId) -> object:
        if job_id == first.id and next(failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return look(job_id)

    monkeypatch.setattr(spool, "record", record)
    await kill_spawner(rig)
    for job in (other, first):
        await rig.exit(job)
        await rig.told.first(job, Ended)
    assert next(failures, None) is None, "the fault was met"


async def test_t76_every_job_is_followed_after_its_spawner_died_amid_ends_and_stops(
    rig: LocalRig,
) -> None:
    """A real one, with no window widened: stops, ends and the kill at once."""
    for _ in range(3):
        jobs = [await rig.start() for _ in range(12)]
        stops = [
            asyncio.ensure_future(rig.engine.stop(job.id, StopRequest("bob", NOW)))
            for job in jobs[:6]
        ]
        await kill_spawner(rig)
        await asyncio.gather(*stops)
        for job in jobs[6:]:
            await rig.exit(job)
        for job in jobs:
            await rig.told.first(job, Ended)


async def test_a_spawner_that_cannot_be_started_is_tried_again(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await rig.start()
    link = parts_of(rig)._spawner
    make, failures = link._start, iter(range(1))

    def start() -> object:
        if next(failures, None) is not None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return make()

    monkeypatch.setattr(link, "_start", start)
    await kill_spawner(rig)
    await rig.exit(job)
    await rig.told.first(job, Ended)
    await rig.start()


async def test_all_who_wait_for_a_full_queue_get_their_turn(rig: LocalRig) -> None:
    """Also when the spawner that has it is killed, and not only who waits last."""
    assert await rig.engine.trouble() is None  # the spawner takes orders by now
    link = parts_of(rig)._spawner
    spawner = link._spawner
    os.kill(spawner._pid, signal.SIGSTOP)
    spawner.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # room for a few orders
    jobs = [rig.job() for _ in range(30)]
    handing = [asyncio.ensure_future(rig.hand_over(job)) for job in jobs]
    while not link._waiting:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    os.kill(spawner._pid, signal.SIGKILL)
    async with asyncio.timeout(BUDGET):
        await asyncio.gather(*handing)
    for job in jobs:
        await rig.engine.stop(job.id, StopRequest("bob", NOW))
        await rig.told.first(job, Ended)
