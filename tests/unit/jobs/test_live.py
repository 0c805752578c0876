"""The table of live jobs: phases that only go on, and futures of those who wait for one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobworker.errors import JobNotFound, ProgramNotFound
from jobworker.jobs.live import LiveJob, LiveJobs, Phase
from jobworker.model import Cause, Completed, End, Job
from support.parts import BUDGET, MOMENT, new_job


def waiting(live: LiveJob) -> int:
    """How many wait, as the job tells it."""
    return int(repr(live).split(", ")[1].split()[0])


@pytest.mark.parametrize("then", Phase)
@pytest.mark.parametrize("first", Phase)
def test_a_phase_never_goes_back(first: Phase, then: Phase) -> None:
    live = LiveJob(new_job(), Phase.RECORDING)
    live.advance(first)
    live.advance(then)
    assert live.phase is max(first, then)


@pytest.mark.parametrize("wanted", Phase)
@pytest.mark.parametrize("phase", Phase)
async def test_a_future_is_done_from_its_phase_on(phase: Phase, wanted: Phase) -> None:
    """Whether it was asked for before or after."""
    live = LiveJob(new_job(), Phase.RECORDING)
    before = live.reached(wanted)
    live.advance(phase)
    after = live.reached(wanted)
    assert before.done() == after.done() == (phase >= wanted)
    before.cancel()
    after.cancel()


async def test_a_leap_wakes_all_that_it_passes() -> None:
    live = LiveJob(new_job(), Phase.RECORDING)
    futures = [live.reached(phase) for phase in Phase for _ in range(3)]
    live.advance(Phase.GONE)
    await asyncio.wait_for(asyncio.gather(*futures), BUDGET)
    assert waiting(live) == 0


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind() -> None:
    """Not one that a task was waiting for, nor one that nobody had begun to wait for."""
    live = LiveJob(new_job())

    async def wait() -> None:
        await live.reached(Phase.ENDED)

    task, future, other = (
        asyncio.create_task(wait()),
        live.reached(Phase.ENDED),
        live.reached(Phase.ENDED),
    )
    await asyncio.sleep(0)
    assert waiting(live) == 3
    task.cancel()
    future.cancel()
    await asyncio.wait([task, future])
    await asyncio.sleep(0)  # callbacks of a future come one turn later
    assert waiting(live) == 1
    live.advance(Phase.ENDED)
    await asyncio.wait_for(other, BUDGET)
    assert waiting(live) == 0


async def test_a_phase_may_be_entered_in_the_turn_in_which_a_waiter_is_cancelled() -> None:
    """Its callback has not been called yet, and it must not be woken: it is done."""
    live = LiveJob(new_job())
    future, other = live.reached(Phase.BEGUN), live.reached(Phase.BEGUN)
    future.cancel()
    live.advance(Phase.BEGUN)
    await asyncio.wait_for(other, BUDGET)
    assert future.cancelled()


def test_a_slot_is_held_while_it_starts_and_runs() -> None:
    held = [phase for phase in Phase if LiveJob(new_job(), phase).has_slot]
    assert held == [Phase.STARTING, Phase.BEGUN]


async def test_a_refused_job_is_shown_to_nobody() -> None:
    """Nor later, when no trace of it is left; who waited for its end is let go."""
    live, error = LiveJob(new_job()), ProgramNotFound()
    ended = live.reached(Phase.ENDED)
    assert live.shown() is live.job
    live.refuse(error)
    assert live.phase is Phase.REFUSED
    assert live.refusal is error
    assert ended.done()
    live.advance(Phase.GONE)
    with pytest.raises(JobNotFound):
        live.shown()


async def test_who_leaves_the_table_is_gone() -> None:
    table, live = LiveJobs(), LiveJob(new_job())
    table.register(live)
    gone = live.reached(Phase.GONE)
    assert table.get(live.job.id) is live
    table.remove(live)
    assert table.get(live.job.id) is None
    assert gone.done()
    with pytest.raises(KeyError):
        table.remove(live)


def test_the_table_tells_which_jobs_have_ended() -> None:
    """By their status: a refused one has none that is final."""
    table = LiveJobs()
    running, ended, refused = (LiveJob(new_job()) for _ in range(3))
    ended.job = new_job_that_ended()
    refused.refuse(ProgramNotFound())
    for live in (running, ended, refused):
        table.register(live)
    assert table.ended() == [ended]


def new_job_that_ended() -> Job:
    return replace(new_job(), status=Completed(End(Cause.EXITED, MOMENT, exit_code=0)))


async def test_reprs_show_the_state() -> None:
    table, live, other = LiveJobs(), LiveJob(new_job()), LiveJob(new_job(queued=True), Phase.QUEUED)
    assert repr(table) == "<LiveJobs: none>"
    table.register(live)
    table.register(other)
    future = live.reached(Phase.BEGUN)
    assert repr(live) == f"<LiveJob {live.job.id} STARTING, 1 waiting>"
    assert repr(table) == "<LiveJobs: 1 QUEUED, 1 STARTING>"
    live.advance(Phase.BEGUN)
    await future
    assert repr(live) == f"<LiveJob {live.job.id} BEGUN, 0 waiting>"
    table.remove(other)
    assert repr(table) == "<LiveJobs: 1 BEGUN>"
