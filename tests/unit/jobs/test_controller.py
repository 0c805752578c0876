"""Live jobs as they go on: what each event calls for, and who gets a free slot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from jobworker.errors import JobNotRunning, TooManyJobs
from jobworker.jobs import controller as controller_module
from jobworker.jobs.lifecycle import Ended, Started, StopAsked
from jobworker.jobs.live import LiveJob, Phase
from jobworker.model import (
    Cause,
    End,
    Failed,
    Grant,
    Job,
    JobId,
    Limits,
    Queued,
    Role,
    Running,
    Stopped,
    Stopping,
    StopRequest,
    explain,
)
from jobworker.output.reader import OutputReader
from jobworker.policy.rules import Policy, QueueBounds, RoleBounds, Rules
from jobworker.testing import FakeEngine, MemoryArchive
from support.parts import BUDGET, MOMENT, Parts, composed, new_job, until

STOP = StopRequest("root", MOMENT)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    async with composed(running=1) as parts:
        yield parts


async def queue(parts: Parts, owner: str = "alice") -> LiveJob:
    """A job that waits for a running slot."""
    assert parts.controller.enter(owner) is Phase.QUEUED
    job = new_job(queued=True, owner=owner)
    await parts.archive.add(job)
    live = LiveJob(job, Phase.QUEUED)
    parts.live_jobs.register(live)
    parts.controller.enlist(live, Phase.QUEUED)
    return live


async def reached(live: LiveJob, phase: Phase) -> None:
    await asyncio.wait_for(live.reached(phase), BUDGET)


async def test_an_event_of_a_job_that_is_not_live_is_nothing(parts: Parts) -> None:
    parts.controller.apply(JobId.new(), Started(1, MOMENT))
    parts.controller.apply((await parts.archived()).id, Started(1, MOMENT))
    assert repr(parts.live_jobs) == "<LiveJobs: none>"


async def test_a_stop_says_nothing_of_how_a_start_goes(parts: Parts) -> None:
    """Who waits for the start is answered by what comes of it."""
    parts.controller.enter("alice")
    live = await parts.accept()
    parts.engine.obeys = False
    parts.controller.apply(live.job.id, StopAsked(STOP))
    begun = live.reached(Phase.BEGUN)
    assert isinstance(live.job.status, Stopping)
    assert not begun.done()
    parts.controller.apply(live.job.id, Started(1, MOMENT))
    assert begun.done()


class ShortEngine(FakeEngine):
    """Has no descriptor for a stop, ``short`` times."""

    def __init__(self, short: int) -> None:
        super().__init__()
        self.short = short

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        if self.short:
            self.short -= 1
            raise OSError(24, "Too many open files")
        await super().stop(job_id, stop)


async def test_a_stop_is_passed_on_as_soon_as_files_can_be_opened(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(controller_module, "_STOP_PAUSE", 0)
    async with composed(engine=ShortEngine(2)) as parts:
        live = await parts.run()
        parts.controller.apply(live.job.id, StopAsked(STOP))
        await reached(live, Phase.ENDED)
    assert isinstance(live.job.status, Stopped)
    assert parts.engine.stops == [(live.job.id, STOP)]
    assert len([each for each in caplog.messages if "will try again" in each]) == 2


async def test_a_stop_is_not_passed_on_to_a_job_that_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controller_module, "_STOP_PAUSE", 0)
    async with composed(engine=ShortEngine(1 << 30)) as parts:
        live = await parts.run()
        parts.controller.apply(live.job.id, StopAsked(STOP))
        parts.engine.exit(live.job.id)
        await until(lambda: repr(parts.controller).endswith(" 0 tasks>"))
    assert parts.engine.stops == []


async def test_a_slot_that_is_given_back_goes_to_who_waits(parts: Parts) -> None:
    assert parts.controller.enter("alice") is Phase.STARTING
    waiting = await queue(parts)
    parts.controller.leave("alice", Phase.STARTING)
    await reached(waiting, Phase.BEGUN)


async def test_a_place_in_the_queue_is_given_back(parts: Parts) -> None:
    parts.authority.replace(Rules(queue=QueueBounds(running=1, queued=1)))
    parts.controller.refresh()
    parts.controller.enter("alice")
    assert parts.controller.enter("alice") is Phase.QUEUED
    with pytest.raises(TooManyJobs):
        parts.controller.enter("alice")
    parts.controller.leave("alice", Phase.QUEUED)
    assert parts.controller.enter("alice") is Phase.QUEUED


async def test_who_lines_up_late_finds_the_slot_that_became_free_meanwhile(parts: Parts) -> None:
    """While the job was recorded, which may take a while, nobody was in line for it."""
    running = await parts.run()
    assert parts.controller.enter("alice") is Phase.QUEUED
    job = new_job(queued=True)
    await parts.archive.add(job)
    parts.engine.exit(running.job.id)
    late = LiveJob(job, Phase.QUEUED)
    parts.live_jobs.register(late)
    parts.controller.enlist(late, Phase.QUEUED)
    await reached(late, Phase.BEGUN)


async def test_wider_bounds_admit_who_waits(parts: Parts) -> None:
    await parts.run()
    first, second = await queue(parts), await queue(parts)
    parts.authority.replace(Rules(queue=QueueBounds(running=2)))
    parts.controller.refresh()
    await reached(first, Phase.BEGUN)
    assert second.phase is Phase.QUEUED


async def test_a_queued_job_is_granted_anew_when_its_turn_comes(parts: Parts) -> None:
    """By the rules and by the role of its owner that are in force then."""
    running, waiting = await parts.run(), await queue(parts)
    granted = RoleBounds(defaults=Limits(pids=7))
    parts.authority.replace(Rules(bounds={Role.USER: RoleBounds(), Role.ADMIN: granted}))
    parts.owners.roles["alice"] = Role.ADMIN
    parts.engine.exit(running.job.id)
    await reached(waiting, Phase.BEGUN)
    assert waiting.job.terms.limits.pids == 7
    assert parts.engine.grant_of(waiting.job.id).limits.pids == 7


async def test_a_queued_job_that_the_policy_forbids_by_now_has_failed(parts: Parts) -> None:
    running, waiting = await parts.run(), await queue(parts)
    next_one = await queue(parts, "bob")
    parts.authority.replace(replace(parts.authority.rules, policy=Policy(allow_by_default=False)))
    parts.engine.exit(running.job.id)
    await reached(next_one, Phase.GONE)
    for live in (waiting, next_one):
        assert isinstance(live.job.status, Failed)
        assert live.job.status.end.cause is Cause.START_FAILED
        assert live.job.status.end.evidence == {"code": "program_forbidden"}


class SlowArchive(MemoryArchive):
    """Admits and finishes nothing before ``go_on`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.asked = asyncio.Event()

    async def admit(self, job_id: JobId) -> None:
        self.asked.set()
        await self.go_on.wait()
        await super().admit(job_id)

    async def finish(self, job: Job, output: OutputReader) -> None:
        self.asked.set()
        await self.go_on.wait()
        await super().finish(job, output)


async def test_a_stop_that_comes_while_a_job_is_admitted_comes_first() -> None:
    """Its slot is free again, and the engine never hears of it."""
    archive = SlowArchive()
    async with composed(running=1, archive=archive) as parts:
        parts.controller.enter("alice")
        waiting = await queue(parts)
        parts.controller.leave("alice", Phase.STARTING)
        await asyncio.wait_for(archive.asked.wait(), BUDGET)
        parts.controller.apply(waiting.job.id, StopAsked(STOP))
        assert isinstance(waiting.job.status, Stopped)
        archive.go_on.set()
        await reached(waiting, Phase.GONE)
        with pytest.raises(KeyError):
            parts.engine.account_of(waiting.job.id)
        assert parts.engine.stops == []
        assert parts.controller.enter("alice") is Phase.STARTING


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        (End(Cause.EXITED, MOMENT, exit_code=1), "/srv is hidden"),
        (End(Cause.EXITED, MOMENT, exit_code=0), None),
        (End(Cause.SIGNALED, MOMENT, signal="SIGKILL"), None),
        (End(Cause.OOM, MOMENT, evidence={"memoryLimit": 1}), None),
    ],
)
async def test_a_program_that_fails_says_what_it_could_not_see(
    parts: Parts, end: End, detail: str | None
) -> None:
    live = await parts.run()
    live.warning = "/srv is hidden"
    parts.controller.apply(live.job.id, Ended(end))
    assert live.job.end is not None
    assert live.job.end.detail == detail
    parts.engine.exit(live.job.id)  # so that the engine can discard it


async def test_an_event_that_cannot_be_changes_nothing(parts: Parts) -> None:
    live = await parts.run()
    parts.engine.exit(live.job.id)
    before, phase = live.job, live.phase
    with pytest.raises(JobNotRunning):
        parts.controller.apply(live.job.id, StopAsked(STOP))
    assert live.job is before
    assert live.phase is phase


async def test_the_jobs_of_the_server_before_have_their_slots_and_their_order() -> None:
    """More may run than the bound allows by now; who waits goes on waiting."""
    async with composed(running=1) as parts:
        running = [new_job() for _ in range(2)]
        queued = [
            replace(new_job(queued=True), created_at=MOMENT + timedelta(seconds=n))
            for n in range(2)
        ]
        for job in (*running, *queued):
            await parts.archive.add(job)
        for job in running:
            await parts.engine.start(job, 0, Grant())
        await parts.engine.input.keep(running[0].id, b"known")
        await parts.engine.input.keep(JobId.new(), b"nobody was told of its job")
        await parts.controller.recover(await parts.archive.unfinished())
        await until(lambda: isinstance(parts.queries.status(running[1].id).status, Running))
        assert parts.engine.input.data == {running[0].id: b"known"}
        parts.engine.exit(running[0].id)
        assert isinstance(parts.queries.status(queued[0].id).status, Queued)
        parts.engine.exit(running[1].id)
        await until(lambda: isinstance(parts.queries.status(queued[0].id).status, Running))
        assert isinstance(parts.queries.status(queued[1].id).status, Queued)


async def test_closing_waits_for_what_is_being_archived() -> None:
    archive = SlowArchive()
    async with composed(archive=archive) as parts:
        live = await parts.run()
        parts.engine.exit(live.job.id)
        await asyncio.wait_for(archive.asked.wait(), BUDGET)
        closing = asyncio.create_task(parts.controller.close())
        archive.go_on.set()
        await asyncio.wait_for(closing, BUDGET)
        assert archive.get(live.job.id) == live.job


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not archived is found again at the next start."""
    monkeypatch.setattr(controller_module, "_CLOSING_PATIENCE", 0)
    archive = SlowArchive()
    async with composed(archive=archive) as parts:
        live = await parts.run()
        parts.engine.exit(live.job.id)
        await asyncio.wait_for(archive.asked.wait(), BUDGET)
        await asyncio.wait_for(parts.controller.close(), BUDGET)
        assert repr(parts.controller).endswith(" 0 tasks>")
        assert [job.id for job in await archive.unfinished()] == [live.job.id]


class BrokenArchive(MemoryArchive):
    """Has a bug."""

    async def finish(self, *_: object) -> None:
        raise RuntimeError("a bug")


async def test_a_bug_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with composed(archive=BrokenArchive()) as parts:
        live = await parts.run()
        parts.engine.exit(live.job.id)
        await until(lambda: caplog.records)
    assert caplog.messages == ["a job could not be followed up"]


async def test_the_repr_shows_the_queue_and_the_tasks() -> None:
    archive = SlowArchive()
    async with composed(running=1, archive=archive) as parts:
        live = await parts.run()
        await queue(parts)
        shown = repr(parts.controller)
        assert shown.startswith("<Controller: Admission(bounds=QueueBounds(running=1,")
        assert "_waiting=1" in shown
        assert shown.endswith(", 0 tasks>")
        parts.engine.exit(live.job.id)
        assert repr(parts.controller).endswith(", 2 tasks>"), "one archives, one starts the next"
        archive.go_on.set()


def test_the_reason_of_a_kill_by_the_limit_of_all_claims_no_more_than_is_known() -> None:
    """T70: the kernel does not say which of those that share a limit it has killed."""
    evidence = {"memoryLimitOfAll": 1 << 30, "oomKillsOfAll": 2}
    reason = explain(End(Cause.OOM, MOMENT, signal="SIGKILL", evidence=evidence))
    assert reason == "killed by SIGKILL when all jobs together were out of memory (limit 1 GiB)"
