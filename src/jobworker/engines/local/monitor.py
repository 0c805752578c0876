"""Monitors supervisors that another spawner has started: nobody else tells of their end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from jobworker.engines.local.supervisors import find_supervisor
from jobworker.model import JobId
from jobworker.spool.record import LaunchRecord, StartRecord
from jobworker.spool.spool import Spool


class Monitor:
    """Waits for supervisors to end: by a pidfd, or in a thread by the lock that they hold."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._pidfds: set[int] = set()

    def __repr__(self) -> str:
        return f"<Monitor of {len(self._pidfds)} supervisors>"

    def watch(
        self, job_id: JobId, start: StartRecord | LaunchRecord | None, gone: Callable[[], None]
    ) -> None:
        """Calls ``gone`` on the event loop once the job's supervisor has ended."""
        loop = asyncio.get_running_loop()
        pidfd = find_supervisor(start)
        if pidfd is None:
            waiting = loop.run_in_executor(None, self._spool.wait_until_unsupervised, job_id)
            waiting.add_done_callback(lambda _: gone())
            return

        def on_exit() -> None:
            self._release(pidfd)
            gone()

        self._pidfds.add(pidfd)
        loop.add_reader(pidfd, on_exit)

    def close(self) -> None:
        """Stops watching; supervisors go on."""
        for pidfd in list(self._pidfds):
            self._release(pidfd)

    def _release(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        self._pidfds.remove(pidfd)
        os.close(pidfd)
