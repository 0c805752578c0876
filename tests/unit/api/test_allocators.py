"""The server's allocators, and when they give back what they have."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading

import pytest

from jobworker.api import allocators
from jobworker.api.allocators import Heap, set_up_jemalloc, trim_of_libc

BUDGET = 5.0
"""Seconds for a timer and a thread, on a machine that is busy with other tests."""

JEMALLOC = "_RJEM_MALLOC_CONF"


class Trims:
    """Stands in for libc."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.threads.add(threading.get_ident())
        self._loop.call_soon_threadsafe(self._changed.set)

    async def next(self) -> None:
        await asyncio.wait_for(self._changed.wait(), BUDGET)
        self._changed.clear()


async def test_the_heap_is_trimmed_once_after_many_things_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocators, "PAUSE", 0.01)
    trims = Trims()
    heap = Heap(trims)
    for _ in range(200):
        heap.let_go()
    assert repr(heap) == "<Heap to be trimmed>"
    await trims.next()
    assert repr(heap) == "<Heap at rest>"
    assert trims.count == 1
    assert threading.get_ident() not in trims.threads
    heap.let_go()
    await trims.next()
    assert trims.count == 2


async def test_it_is_trimmed_where_there_is_never_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocators, "PAUSE", 3600.0)
    monkeypatch.setattr(allocators, "LONGEST", 0.05)
    trims = Trims()
    heap = Heap(trims)
    ended = asyncio.get_running_loop().time() + BUDGET
    while not trims.count:
        assert asyncio.get_running_loop().time() < ended
        heap.let_go()
        await asyncio.sleep(0)
    heap.close()


async def test_a_heap_that_is_closed_is_trimmed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocators, "PAUSE", 0.0)
    trims = Trims()
    heap = Heap(trims)
    heap.let_go()
    heap.close()
    heap.let_go()
    other = Heap(other_trims := Trims())  # a later timer: what came before it has had its turn
    other.let_go()
    await other_trims.next()
    assert trims.count == 0


async def test_where_libc_has_no_trim_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap = Heap(trim_of_libc())
    heap.let_go()
    assert repr(heap) == "<Heap cannot be trimmed>"


def test_libc_is_trimmed() -> None:
    trim = trim_of_libc()
    assert trim is None or trim() in (0, 1)


def test_jemalloc_is_set_up_unless_the_operator_has_done_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environ: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environ)
    set_up_jemalloc()
    assert "background_thread:true" in environ[JEMALLOC]
    environ[JEMALLOC] = "narenas:1"
    set_up_jemalloc()
    assert environ == {JEMALLOC: "narenas:1"}
