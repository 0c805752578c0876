"""Input sessions alone: what they do in each phase of a job, whoever moves it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobworker.errors import InputClosed, ServiceUnavailable
from jobworker.jobs.input import InputSession, InputSessions
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.model import Grant, Input, Terms
from jobworker.testing import FakeEngine
from support.parts import BUDGET, new_job


class World:
    """Sessions over a table in which ``live`` is the one job."""

    def __init__(self, phase: Phase) -> None:
        job = new_job(queued=phase is Phase.QUEUED)
        self.engine = FakeEngine()
        self.live_jobs = LiveJobs()
        self.live = LiveJob(replace(job, spec=replace(job.spec, input=Input("pipe"))), phase)
        self.live_jobs.register(self.live)
        self.sessions = InputSessions(self.engine, self.live_jobs)

    def attach(self, by: str = "alice", *, takeover: bool = False) -> InputSession:
        return self.sessions.attach(self.live.job, by, takeover=takeover)

    async def start(self) -> None:
        await self.engine.start(self.live.job, 0, Grant(limits=Terms().limits))


async def test_a_session_opens_once_the_program_runs() -> None:
    world = World(Phase.QUEUED)
    session = world.attach()
    opening = asyncio.ensure_future(session.open())
    for phase in (Phase.STARTING, Phase.BEGUN):
        await asyncio.sleep(0)
        assert not opening.done()
        if phase is Phase.BEGUN:
            await world.start()
        world.live.advance(phase)
    await asyncio.wait_for(opening, BUDGET)
    await session.write(b"data")
    assert session.taken == 4


@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.REFUSED, Phase.GONE])
async def test_a_session_that_waits_is_told_that_there_is_nothing_to_feed(phase: Phase) -> None:
    world = World(Phase.QUEUED)
    session = world.attach()
    opening = asyncio.ensure_future(session.open())
    world.live.advance(phase)
    with pytest.raises(InputClosed):
        await asyncio.wait_for(opening, BUDGET)
    await asyncio.wait_for(session.job_ended(), BUDGET)


async def test_what_was_not_opened_takes_nothing_and_closes_twice() -> None:
    world = World(Phase.STARTING)
    session = world.attach()
    for attempt in (session.write(b"x"), session.resize(1, 1)):
        with pytest.raises(InputClosed, match="not been started"):
            await attempt
    assert session.taken == 0
    session.close()
    session.close()
    assert repr(world.sessions) == "<InputSessions: 0 jobs are fed>"


async def test_one_takeover_at_a_time() -> None:
    """T69: who was displaced holds memory until it has heard, so it is counted as long."""
    world = World(Phase.STARTING)
    first = world.attach()
    second = world.attach("root", takeover=True)
    with pytest.raises(ServiceUnavailable, match="being taken over"):
        world.attach("root", takeover=True)
    assert not second.displaced.is_set()
    first.close()
    world.attach(takeover=True)
    assert second.displaced.is_set()


async def test_who_lingers_after_a_takeover_keeps_nobody_out() -> None:
    world = World(Phase.STARTING)
    world.attach()
    world.attach("root", takeover=True).close()
    world.attach()


async def test_a_displaced_session_leaves_the_hold_of_the_next_alone() -> None:
    world = World(Phase.STARTING)
    first = world.attach()
    second = world.attach("root", takeover=True)
    assert first.displaced.is_set()
    assert not second.displaced.is_set()
    first.close()
    assert repr(world.sessions) == "<InputSessions: 1 jobs are fed>"
    second.close()
