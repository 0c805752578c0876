"""Who follows is woken by the kernel, one watch a job; where there is none, by looking."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jobworker.embedded import Manager
from jobworker.output import watcher as watcher_module
from jobworker.output.watcher import Watcher

BUDGET = 20.0
"""Seconds for a change to be told, on a machine that is busy with other tests."""


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    watcher = Watcher()
    yield watcher
    watcher.close()


def watches_of_the_kernel() -> int:
    """How many this process has (proc(5), fdinfo of an inotify descriptor)."""
    count = 0
    for fd in os.listdir("/proc/self/fdinfo"):  # noqa: PTH208 - names are wanted
        try:
            count += len(
                re.findall(
                    "^inotify wd:", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.MULTILINE
                )
            )
        except FileNotFoundError:
            continue
    return count


async def test_readers_of_a_job_share_one_watch_that_goes_with_the_last(
    watcher: Watcher, tmp_path: Path
) -> None:
    before = watches_of_the_kernel()
    waiting = [watcher.expect(str(tmp_path)) for _ in range(50)]
    assert watches_of_the_kernel() == before + 1
    for one in waiting[:49]:
        one.cancel()
    await asyncio.sleep(0)
    assert watches_of_the_kernel() == before + 1
    waiting[49].cancel()
    await asyncio.sleep(0)
    assert watches_of_the_kernel() == before


async def test_a_write_and_a_new_file_wake_everybody(watcher: Watcher, tmp_path: Path) -> None:
    waiting = [watcher.expect(str(tmp_path)) for _ in range(3)]
    (tmp_path / "stdout").write_bytes(b"")
    await asyncio.wait_for(asyncio.gather(*waiting), BUDGET)
    again = watcher.expect(str(tmp_path))
    with (tmp_path / "stdout").open("ab", buffering=0) as file:
        file.write(b"more")
        await asyncio.wait_for(again, BUDGET)


async def test_a_directory_that_is_gone_is_told(watcher: Watcher, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        watcher.expect(str(tmp_path / "missing"))


class Libc:
    """The C library without some calls of inotify."""

    def __init__(self, failing: str, number: int) -> None:
        self._failing = failing
        self._number = number
        self._real = ctypes.CDLL(None, use_errno=True)

    def __getattr__(self, name: str) -> Any:
        if name == self._failing:
            return self._fail
        return getattr(self._real, name)

    def _fail(self, *_: object) -> int:
        ctypes.set_errno(self._number)
        return -1


@pytest.mark.parametrize(
    ("failing", "number"),
    [("inotify_add_watch", errno.ENOSPC), ("inotify_init1", errno.ENOSYS)],
)
async def test_without_a_watch_it_looks_now_and_then(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
    number: int,
) -> None:
    monkeypatch.setattr(watcher_module, "_libc", Libc(failing, number))
    caplog.set_level(logging.WARNING)
    watcher = Watcher()
    waiting, leaving = watcher.expect(str(tmp_path)), watcher.expect(str(tmp_path))
    leaving.cancel()
    await asyncio.wait_for(waiting, BUDGET)
    left = watcher.expect(str(tmp_path))
    watcher.close()
    assert left.done()
    (told,) = caplog.messages
    assert f"output is looked for every {watcher_module.POLL} s" in told
    assert ("max_user_watches" in told) == (number == errno.ENOSPC)


async def test_a_job_is_followed_without_a_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last byte, and as it comes."""
    monkeypatch.setattr(watcher_module, "_libc", Libc("inotify_add_watch", errno.ENOSPC))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with Manager.open(tmp_path / "state", containment="basic") as manager:
        script = f"echo one; read go < {gate}; echo two; read go < {gate}; printf three"
        job = await manager.start("/bin/sh", ["-c", script], owner="alice")
        seen = b""
        async for frames in manager.frames(job):
            seen += b"".join(frame.data for frame in frames)
            if seen.endswith(b"\n"):
                await asyncio.to_thread(gate.write_text, "go\n")
    assert seen == b"one\ntwo\nthree"


async def test_the_repr_shows_watches_and_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    for _ in range(3):
        watcher.expect(str(tmp_path))
    assert repr(watcher) == "<Watcher, inotify: 1 watches, 3 waiting>"
    watcher.close()
    assert repr(watcher) == "<Watcher, closed: 0 watches, 0 waiting>"
    monkeypatch.setattr(watcher_module, "_libc", Libc("inotify_init1", errno.ENOSYS))
    blind = Watcher()
    waiting = blind.expect(str(tmp_path))
    assert repr(blind) == "<Watcher, no inotify: 0 watches, 1 waiting>"
    blind.close()
    await waiting
