"""What only the first start makes, made in a child: what that takes does not stay in memory.

Alembic and cryptography are 15 MB, and a server runs for years.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from contextlib import suppress

from jobworker.config.settings import Settings
from jobworker.daemon.activation import inherited
from jobworker.daemon.state import State, make_state
from jobworker.embedded import open_database
from jobworker.tls.files import TlsFiles, provide

_PR_SET_PDEATHSIG = 1


def make_what_is_missing(settings: Settings) -> None:
    """Makes database and certificate where there are none, before any thread is started.

    What cannot be made is told by whoever goes on, and finds it missing.
    """
    state = State(settings.state)
    if state.database.exists() and TlsFiles(state.tls).server.exists():
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    with suppress(BaseException):
        # Who is killed meanwhile is not to leave somebody behind who has the lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        asyncio.run(_make(settings))
    os._exit(0)


async def _make(settings: Settings) -> None:
    state = make_state(settings.state)
    given = inherited()
    async with open_database(state.directory):
        provide(state.tls, (given.address if given else settings.listen).host)
