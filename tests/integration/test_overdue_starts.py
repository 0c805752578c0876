"""Starts of which nothing is heard: given up, and never carried out later (T80)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobworker.engines.local import engine as engine_module
from jobworker.engines.local import orders, spawner_link
from jobworker.errors import ServiceUnavailable
from jobworker.jobs.lifecycle import Lost, Refused, Started
from jobworker.model import Job, Spec
from support.engine_rigs import BUDGET, LocalRig
from support.injection import injected

SHORT = 0.5
"""Seconds for a start that is to hang: many times what one takes here."""


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalRig]:
    monkeypatch.setattr(orders, "BUDGET", SHORT)
    made = LocalRig(tmp_path)
    await made.open()
    await made.engine.recover([])
    assert await made.engine.trouble() is None  # its spawner takes orders by now
    yield made
    monkeypatch.undo()
    await made.close()


def link_of(rig: LocalRig) -> Any:
    engine: Any = rig.engine
    return engine._spawner


@contextmanager
def hanging(rig: LocalRig) -> Iterator[int]:
    spawner: int = link_of(rig)._spawner._pid
    os.kill(spawner, signal.SIGSTOP)
    try:
        yield spawner
    finally:
        os.kill(spawner, signal.SIGCONT)


def marking(rig: LocalRig, marks: Path) -> Job:
    return rig.job(Spec("/bin/sh", ("-c", f"echo ran >> {marks}; exec sleep 1000")))


async def test_t80_a_start_that_the_spawner_does_not_take_is_refused_for_good(
    rig: LocalRig, tmp_path: Path
) -> None:
    """Also once the spawner goes on: the order is still in its socket."""
    job = marking(rig, tmp_path / "marks")
    with hanging(rig):
        await rig.hand_over(job)
        refused = await rig.told.first(job, Refused)
        assert isinstance(refused.error, ServiceUnavailable)
        assert "nothing came of its start" in str(refused.error)
    await rig.start()  # by when the order before it has been looked at
    assert rig.told.of(job) == [refused]
    assert not (tmp_path / "marks").exists()
    await rig.engine.discard(job.id)


class NotYet(asyncio.Event):
    """An event that does not come."""

    def set(self) -> None:
        pass


async def test_t75_no_order_is_given_before_a_later_server_would_know_of_it(
    rig: LocalRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the lock that the spawner takes first: it would be carried out behind its back."""
    job = marking(rig, tmp_path / "marks")
    with monkeypatch.context() as patched:
        patched.setattr(link_of(rig), "_ready", NotYet())
        with pytest.raises(ServiceUnavailable, match="it was not ready within"):
            await rig.hand_over(job)
    await rig.start()
    assert rig.told.of(job) == []
    assert not (tmp_path / "marks").exists()


async def test_t80_an_engine_whose_spawner_hangs_is_not_well(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_ANSWER", SHORT)
    assert await rig.engine.trouble() is None
    with hanging(rig):
        many = [rig.engine.trouble() for _ in range(1000)]  # which do not fill its socket
        assert set(await asyncio.gather(*many)) == {
            "the spawner, which starts jobs, does not answer"
        }
    monkeypatch.undo()
    assert await rig.engine.trouble() is None


async def test_t80_a_spawner_that_hangs_with_an_order_is_replaced_and_the_job_runs(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "BUDGET", BUDGET)
    monkeypatch.setattr(spawner_link, "_QUIET", SHORT)
    monkeypatch.setattr(spawner_link, "_PATIENCE", SHORT)
    link = link_of(rig)
    old = link._spawner
    os.kill(old._pid, signal.SIGSTOP)
    job = await rig.start()
    assert link._spawner is not old
    assert [type(event) for event in rig.told.of(job)] == [Started]


@pytest.mark.root
@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("call", "fault", "outcome"),
    [
        ("flock", "delay_exit=3000000:when=1", Refused),
        ("writev", "delay_enter=3000000:when=1", Refused),
        ("writev", "delay_enter=3000000:when=2", Lost),
    ],
)
async def test_t80_a_supervisor_that_hangs_is_given_up_and_runs_nothing_later(
    rig: LocalRig, tmp_path: Path, call: str, fault: str, outcome: type[Refused | Lost]
) -> None:
    """First before its order is read, with the lock held by which it is known that there is one.

    Its second write is that it is about to execute the program, its fourth that it has. By the
    ones before each it takes the job's OOM score, and gives it back.
    """
    job, marks = marking(rig, tmp_path / "marks"), tmp_path / "marks"
    spawner = link_of(rig)._spawner._pid
    strace = injected(spawner, call, fault)
    with strace:
        await rig.hand_over(job)
        end = await rig.told.first(job, outcome)
        await asyncio.wait_for(rig.engine.discard(job.id), BUDGET)
    assert rig.told.of(job) == [end]
    assert marks.exists() == (outcome is Lost)
