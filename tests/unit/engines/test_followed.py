"""The engine's memory of a job, and those who wait until nothing is left of it."""

from __future__ import annotations

import asyncio

import pytest

from jobworker.engines.local.followed import LocalJob, Phase

BUDGET = 5.0
"""Seconds for a task to be woken, on a machine that is busy with other tests."""


@pytest.mark.parametrize("phase", [Phase.GONE, Phase.ABANDONED])
async def test_all_who_wait_are_woken_though_one_has_left(phase: Phase) -> None:
    job = LocalJob()
    left, *others = (asyncio.ensure_future(job.until_gone()) for _ in range(3))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    job.advance(Phase.TOLD)
    assert not job.is_gone
    job.advance(phase)
    await asyncio.wait_for(asyncio.gather(*others), BUDGET)
    assert job.is_gone


async def test_who_comes_later_does_not_wait() -> None:
    job = LocalJob()
    job.advance(Phase.GONE)
    job.advance(Phase.ABANDONED)
    await asyncio.wait_for(job.until_gone(), BUDGET)
