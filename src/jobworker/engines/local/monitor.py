"""Monitors supervisors that another spawner has started: nobody else tells of their end."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable

from jobworker.engines.local.supervisors import find_supervisor
from jobworker.model import JobId
from jobworker.spool.record import LaunchRecord, StartRecord
from jobworker.spool.spool import Spool

_MOST = 256
"""Descriptors for supervisors, however many there are: the rest of them is for clients."""

_SHARE = 8
"""At most one in so many of the descriptors that the process may have."""

_PAUSE = 0.2
"""Seconds between looks at the others, a part of them at a time."""

_SLICE = 0.004
"""Seconds that a look takes at most, which is some 500 of them: of 5,000 each is looked at
every two seconds, for a fiftieth of a CPU."""

Supervisor = StartRecord | LaunchRecord | None
Gone = Callable[[], None]


class Monitor:
    """Tells when supervisors have ended: by pidfds, and past a number of those by their locks.

    A supervisor holds the lock of its job's directory for life, and the kernel tells who asks
    for it; it announces its end to the holder of a pidfd only. Each of those is a descriptor.
    """

    def __init__(self, spool: Spool, most: int | None = None) -> None:
        self._spool = spool
        self._most = most or min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE)
        self._pidfds: set[int] = set()
        self._others: dict[JobId, tuple[Supervisor, Gone]] = {}
        self._look: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Monitor of {len(self._pidfds) + len(self._others)} supervisors>"

    def watch(self, job_id: JobId, supervisor: Supervisor, gone: Gone) -> None:
        """Calls ``gone`` on the event loop once the job's supervisor has ended."""
        if not self._watch_process(supervisor, gone):
            self._others[job_id] = supervisor, gone
            self._schedule()

    def close(self) -> None:
        """Stops watching; supervisors go on."""
        self._others.clear()
        if self._look is not None:
            self._look.cancel()
        for pidfd in list(self._pidfds):
            self._release(pidfd)

    def _watch_process(self, supervisor: Supervisor, gone: Gone) -> bool:
        """Watches it by a pidfd; False where there is none for it."""
        if len(self._pidfds) >= self._most:
            return False
        try:
            pidfd = find_supervisor(supervisor)
        except OSError:  # no descriptor is free: its lock takes one for a moment only
            return False
        if pidfd is None:
            return False

        def on_exit() -> None:
            self._release(pidfd)
            gone()
            self._promote()

        self._pidfds.add(pidfd)
        asyncio.get_running_loop().add_reader(pidfd, on_exit)
        return True

    def _promote(self) -> None:
        """Gives a descriptor that has become free to one of the others."""
        for job_id, (supervisor, gone) in self._others.items():
            if supervisor is not None:
                if self._watch_process(supervisor, gone):
                    del self._others[job_id]
                return

    def _schedule(self) -> None:
        if self._look is None and self._others:
            self._look = asyncio.get_running_loop().call_later(_PAUSE, self._look_at_others)

    def _look_at_others(self) -> None:
        """Looks at those whose turn it is, the one first that was not looked at for longest."""
        self._look = None
        until = time.monotonic() + _SLICE
        for job_id in list(self._others):
            supervisor, gone = self._others.pop(job_id)
            if self._has_ended(job_id):
                gone()
            else:
                self._others[job_id] = supervisor, gone
            if time.monotonic() > until:
                break
        self._schedule()

    def _has_ended(self, job_id: JobId) -> bool:
        try:
            return not self._spool.is_supervised(job_id)
        except OSError:
            return False  # there is a next time

    def _release(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        self._pidfds.remove(pidfd)
        os.close(pidfd)
