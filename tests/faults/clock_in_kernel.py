"""The machine's clock is set while jobs run (T51). Not for this machine's clock: see
``test_in_a_kernel``, which runs this in a kernel of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.model import Cause, Limits, Spec, Stream
from support.kernel import is_inside

DAY = 86_400
PATIENCE = 60
"""Seconds for what takes a few, in a kernel that is four times slower than the machine."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """Only ever the clock of a kernel of our own, and put right in the end."""
    assert is_inside(), "this sets the machine's clock"
    before = time.time() - time.monotonic()
    yield
    time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic())


def move_clock(days: float) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time() + days * DAY)


@pytest.mark.parametrize("days", [1, -1])
async def test_t51_time_limits_do_not_heed_the_clock(tmp_path: Path, days: float) -> None:
    """Neither one that the clock would say is long over, nor one that it would put off."""
    async with Manager.open(tmp_path / "state") as manager:
        spec = Spec("/bin/sleep", ("300",), limits=Limits(timeout=3))
        begun = time.monotonic()
        job = await manager.submit(spec, "alice")
        move_clock(days)
        assert not (await manager.wait(job.id, 1)).ended
        job = await manager.wait(job.id, PATIENCE)
        took = time.monotonic() - begun
        assert job.end is not None
        assert job.end.cause is Cause.TIMEOUT
        assert 3 <= took < PATIENCE


async def test_t51_the_list_keeps_its_order(tmp_path: Path) -> None:
    async with Manager.open(tmp_path / "state") as manager:
        ids = []
        for days in (0, 1, -2, 1):
            move_clock(days)
            ids.append(await manager.start("/bin/true", owner="alice"))
            await manager.wait(ids[-1], PATIENCE)
        assert [job.id for job in (await manager.list()).jobs] == ids[::-1]
    async with Manager.open(tmp_path / "state") as manager:
        assert [job.id for job in (await manager.list()).jobs] == ids[::-1]


async def test_t51_a_stop_with_a_grace_does_not_heed_the_clock(tmp_path: Path) -> None:
    async with Manager.open(tmp_path / "state") as manager:
        script = "trap '' TERM; echo ready; while :; do sleep 1; done"
        job = await manager.submit(Spec("/bin/sh", ("-c", script)), "alice")
        async for _ in manager.follow(job.id, Stream.STDOUT):
            break
        begun = time.monotonic()
        move_clock(-1)
        await manager.stop(job.id, grace=2)
        assert 2 <= time.monotonic() - begun < PATIENCE
        assert manager.status(job.id).reason == "stopped by alice"
