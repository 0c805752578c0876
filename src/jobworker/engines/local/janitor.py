"""Removes what ended jobs leave in the spool, away from the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine

from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroups import Cgroups
from jobworker.futures import resolve
from jobworker.model import JobId
from jobworker.spool import quota
from jobworker.spool.scratch import remove_left_over
from jobworker.spool.spool import Spool
from jobworker.supervisor.names import MACHINE_TMP, shared_name

log = logging.getLogger(__name__)

_FIRST = 0.05
"""Seconds for each directory of a job while others wait behind it: some 5,000
files of a tmpfs, fewer on a busy disk. A job that has left more is gone on with in a lane
of its own."""

_SLICE, _REST = 0.5, 0.5
"""Seconds at work in that lane, and between two goes. At level ``basic`` other jobs may fill
a directory as fast as it is emptied, and so keep half of a processor busy at most."""

Waiting = dict[JobId, asyncio.Future[None]]


class Janitor:
    """Removes directories in threads: all that wait in one go, and those that take long apart.

    A file system may take its time over each file, and a job may leave millions of them:
    neither the event loop nor other jobs wait for that.
    """

    def __init__(self, spool: Spool, cgroups: Cgroups) -> None:
        self._spool = spool
        self._cgroups = cgroups
        self._waiting: Waiting = {}
        self._long: Waiting = {}
        self._abandoned: set[JobId] = set()
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        state = f"at work on {', '.join(self._lanes)}" if self._lanes else "idle"
        waiting, abandoned = len(self._waiting) + len(self._long), len(self._abandoned)
        return f"<Janitor {state}: {waiting} waiting, {abandoned} abandoned>"

    async def close(self) -> None:
        """Begins nothing more; returns once no thread of ours is in the spool."""
        self._closed.set()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    async def remove(self, job_id: JobId, *, abandoned: bool) -> None:
        """Removes all that is left of the job; raises ``OSError`` where that cannot be done.

        If the job is ``abandoned``, also removes the cgroup that its supervisor would have
        removed. Its directory in the spool goes last: as long as that is there, a server
        that comes later knows what else there may be.
        """
        if abandoned:
            self._abandoned.add(job_id)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id] = done
        self._work("rounds", self._make_rounds)
        await done

    def clear_up(self, job_id: JobId) -> None:
        """Removes what a supervisor that was killed before its program's start has left."""
        quota.lift_left_over(f"{MACHINE_TMP}/{shared_name(job_id)}")
        cgroup_upkeep.remove_left_over(self._cgroups, job_id)
        remove_left_over(job_id, _SLICE)

    def sweep(self) -> None:
        """Begins to remove what an earlier server has half removed; a failure is logged."""
        self._work("sweep", self._finish_removals)

    def _work(self, lane: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        async def until_done() -> None:
            try:
                await work()
            finally:
                del self._lanes[lane]

        if lane not in self._lanes and not self._closed.is_set():
            self._lanes[lane] = asyncio.create_task(until_done())

    async def _make_rounds(self) -> None:
        while self._waiting and not self._closed.is_set():
            batch, self._waiting = self._waiting, {}
            self._long |= await self._remove_all(batch, _FIRST)
            if self._long:
                self._work("long", self._make_long_rounds)

    async def _make_long_rounds(self) -> None:
        """Gives each job that takes long a slice in turn."""
        while self._long and not self._closed.is_set():
            job_id = next(iter(self._long))
            unfinished = await self._remove_all({job_id: self._long.pop(job_id)}, _SLICE)
            self._long |= unfinished
            if unfinished:
                await self._rest()

    async def _finish_removals(self) -> None:
        while not self._closed.is_set():
            try:
                await asyncio.to_thread(self._spool.finish_removals, _SLICE)
            except TimeoutError:
                await self._rest()
            except OSError as error:
                log.warning("cannot remove what an earlier server has left in the spool: %s", error)
                return
            else:
                return

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), _REST)

    async def _remove_all(self, batch: Waiting, seconds: float) -> Waiting:
        """Removes each in so many ``seconds`` at most; returns those that take longer."""
        errors = await asyncio.to_thread(self._try_all, list(batch), seconds)
        unfinished = {}
        for job_id, done in batch.items():
            if isinstance(errors.get(job_id), TimeoutError):
                unfinished[job_id] = done
            else:
                resolve(done, errors.get(job_id))
        return unfinished

    def _try_all(self, job_ids: list[JobId], seconds: float) -> dict[JobId, OSError]:
        errors: dict[JobId, OSError] = {}
        for job_id in job_ids:
            if self._closed.is_set():
                errors[job_id] = TimeoutError()
                continue
            try:
                self._remove(job_id, seconds)
            except OSError as error:
                errors[job_id] = error
        return errors

    def _remove(self, job_id: JobId, seconds: float) -> None:
        if job_id in self._abandoned:
            quota.lift_left_over(f"{MACHINE_TMP}/{shared_name(job_id)}")
            cgroup_upkeep.remove_left_over(self._cgroups, job_id)
        # A supervisor that has outlived its server tells nobody whether it came to this.
        remove_left_over(job_id, seconds)
        self._spool.remove(job_id, seconds)
        self._abandoned.discard(job_id)
