"""Who waits for room is woken when some was made, one after another."""

from __future__ import annotations

import asyncio

from jobworker.jobs.room import Room
from support.parts import BUDGET, until

LONG = 600.0
"""Seconds: nobody waits to the end."""


async def test_room_wakes_the_one_who_has_waited_longest() -> None:
    room, woken = Room(), list[int]()

    async def wait(number: int) -> None:
        await room.wait(LONG)
        woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await until(lambda: repr(room) == "<Room: 3 waiting>")
    room.made()
    await until(lambda: woken)
    assert woken == [0]
    tasks[1].cancel()
    await until(tasks[1].done)
    room.made()
    await asyncio.wait_for(tasks[2], BUDGET)
    assert repr(room) == "<Room: 0 waiting>"


async def test_a_wait_ends_though_nobody_tells_of_room() -> None:
    room = Room()
    await asyncio.wait_for(room.wait(0.001), BUDGET)
    assert repr(room) == "<Room: 0 waiting>"


async def test_listeners_are_told_each_time() -> None:
    room, told = Room(), list[str]()
    room.listen(lambda: told.append("made"))
    room.made()
    room.made()
    assert told == ["made", "made"]
