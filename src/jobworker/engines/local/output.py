"""The output of live jobs on this machine (``ports.OutputSource``)."""

from __future__ import annotations

import asyncio

from jobworker.model import JobId
from jobworker.output.watcher import Watcher
from jobworker.spool.output import SpoolOutput
from jobworker.spool.spool import Spool


class LocalOutput:
    """Reads output in the spool, and tells of its changes."""

    def __init__(self, spool: Spool, watcher: Watcher) -> None:
        self._spool = spool
        self._watcher = watcher

    def reader(self, job_id: JobId) -> SpoolOutput:
        """The job's output so far; raises ``FileNotFoundError``."""
        return self._spool.output(job_id)

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """A future, done at the first change after this call; raises ``FileNotFoundError``."""
        return self._watcher.expect(self._spool.path(job_id))
