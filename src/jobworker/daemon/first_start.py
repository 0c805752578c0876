"""The work of the first start, done in a child: what that takes does not stay in memory.

Alembic and cryptography are 15 MB, and a server runs for years.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from jobworker.daemon.process import die_with_parent
from jobworker.daemon.state import State, make_state
from jobworker.embedded import open_database
from jobworker.tls.files import TlsFiles, provide


def make_what_is_missing(directory: Path, host: str) -> None:
    """Makes database and certificate where there are none, before any thread is started.

    ``host`` is what the server listens on. What cannot be made is told by whoever goes on, and
    finds it missing.
    """
    state = State(directory)
    if state.database.exists() and TlsFiles(state.tls).server.exists():
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    with suppress(BaseException):
        # Who is killed meanwhile is not to leave somebody behind who has the lock.
        die_with_parent()
        asyncio.run(_make(directory, host))
    os._exit(0)


async def _make(directory: Path, host: str) -> None:
    state = make_state(directory)
    async with open_database(state.directory):
        provide(state.tls, host)
