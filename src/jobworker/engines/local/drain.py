"""Waits for the orders that a server before this one gave, and that are not carried out yet.

Only then does the lock of a job's directory tell whether the job has a supervisor, and the
lack of one that it will get none: a spawner goes on taking the orders of a dead server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress

from jobworker.spool.spool import Spool

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds for a spawner to carry out what is in its socket, which holds some 300 orders: it
carries out hundreds a second. After that it hangs, and as many are for it to die."""

_PAUSE = 0.005
"""Seconds between looks at the lock, whose end is announced to nobody who does not wait in it."""


async def until_drained(spool: Spool) -> None:
    """Returns once no spawner of an earlier server takes orders; kills one that hangs."""
    if await _drained(spool):
        return
    _kill_taker(spool)
    if not await _drained(spool):
        log.error("a spawner of the server before hangs and cannot be killed: going on without it")


async def _drained(spool: Spool) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while spool.order_taker() is not None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_PAUSE)
    return True


def _kill_taker(spool: Spool) -> None:
    """Kills the spawner; its supervisors do not need it."""
    pid = spool.order_taker()
    if pid is None:
        return
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            # Looked at again: from the pidfd on the PID means one process.
            if spool.order_taker() == pid:
                log.error("killing the spawner %d of the server before, which hangs", pid)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
