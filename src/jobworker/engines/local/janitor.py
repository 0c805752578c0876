"""Removes what ended jobs leave in the spool, away from the event loop."""

from __future__ import annotations

import asyncio

from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroups import Cgroups
from jobworker.futures import resolve
from jobworker.model import JobId
from jobworker.spool.spool import Spool
from jobworker.supervisor import quota, scratch


class Janitor:
    """Removes directories in a thread, all that wait in one go.

    A file system may take its time over each file, and a killed supervisor may leave a
    whole tree in a job's ``/tmp``: the event loop does not wait for either.
    """

    def __init__(self, spool: Spool, cgroups: Cgroups) -> None:
        self._spool = spool
        self._cgroups = cgroups
        self._waiting: dict[JobId, asyncio.Future[None]] = {}
        self._abandoned: set[JobId] = set()
        self._round: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "idle" if self._round is None else "at work"
        waiting, abandoned = len(self._waiting), len(self._abandoned)
        return f"<Janitor {state}: {waiting} waiting, {abandoned} abandoned>"

    async def remove(self, job_id: JobId, *, abandoned: bool) -> None:
        """Removes the job's directory; raises ``OSError`` where that cannot be done.

        If the job is ``abandoned``, also removes what its supervisor would have removed.
        """
        if abandoned:
            self._abandoned.add(job_id)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id] = done
        if self._round is None:
            self._round = asyncio.create_task(self._make_rounds())
        await done

    def clear_up(self, job_id: JobId) -> None:
        """Removes what the job's supervisor would have removed, but for its directory."""
        quota.lift_left_over(f"{scratch.MACHINE_TMP}/{scratch.shared_name(job_id)}")
        scratch.remove_left_over(job_id)
        cgroup_upkeep.remove_left_over(self._cgroups, job_id)

    async def _make_rounds(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            errors = await asyncio.to_thread(self._remove_all, list(batch))
            for job_id, done in batch.items():
                resolve(done, errors.get(job_id))
        self._round = None

    def _remove_all(self, job_ids: list[JobId]) -> dict[JobId, OSError]:
        errors = {}
        for job_id in job_ids:
            try:
                if job_id in self._abandoned:
                    self.clear_up(job_id)
                    self._abandoned.discard(job_id)
                self._spool.remove(job_id)
            except OSError as error:
                errors[job_id] = error
        return errors
