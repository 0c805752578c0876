"""The server of test_idempotency_faults.py: starts a job with a key and is killed amid it.

``keyed_child.py MOMENT STATE KEY PROGRAM ARGUMENT...``, where MOMENT is ``committed``,
``ordered`` or ``started``: how far the start has come when the kill hits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from jobworker.embedded import Manager
from jobworker.engines.local.engine import LocalEngine
from jobworker.model import Grant, Job, Spec


class KilledEngine(LocalEngine):
    """Kills its own process when a job is handed over, before it is done or after."""

    moment = ""

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        if self.moment == "committed":
            die()
        await super().start(job, account, grant)
        if self.moment == "ordered":
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(moment: str, state: Path, key: str, program: str, *args: str) -> None:
    async with (
        KilledEngine.open(state, "basic") as engine,
        Manager.open(state, engine=engine) as manager,
    ):
        assert isinstance(engine, KilledEngine)
        engine.moment = moment
        await manager.submit(Spec(program, args), "alice", idempotency_key=key)
        die()


Path(sys.argv[2]).mkdir()
asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
