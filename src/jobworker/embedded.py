"""A manager put together for this machine: state directory, database, engine.

It is the one place that knows the parts of a manager.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobworker.archive.database import FILE_NAME, Database
from jobworker.archive.owners import SqlOwners
from jobworker.archive.sql import SqlArchive
from jobworker.ballast import Ballast
from jobworker.config.jobs import DEFAULT, JobSettings
from jobworker.config.settings import Containment
from jobworker.engines.local.engine import LocalEngine
from jobworker.errors import StateInUse, StorageFull
from jobworker.jobs import manager
from jobworker.jobs.ports import Archive, Clock, Engine, Owners
from jobworker.policy.authority import Authority


class SystemClock:
    """The machine's clock (``ports.Clock``)."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)


@asynccontextmanager
async def open_database(state: Path) -> AsyncIterator[Database]:
    """Locks a state directory and opens its database, the one of this process.

    Raises ``StateInUse`` where another process has the lock, ``StateUnusable`` where the
    database cannot be used.
    """
    with _locked(state):
        ballast = Ballast(state)
        database = ballast.relieve(partial(Database.open, state / FILE_NAME, ballast))
        try:
            ballast.fill()
            with suppress(StorageFull):  # small writes then need room each
                await database.take_log_room()
            yield database
        finally:
            await database.close()


class Manager(manager.Manager):
    """A manager that can be opened on a state directory: this adds nothing but ``open``."""

    @classmethod
    @asynccontextmanager
    async def open(  # noqa: PLR0913 - each part may be another one
        cls,
        state_dir: str | os.PathLike[str],
        *,
        containment: Containment = "auto",
        database: Database | None = None,
        archive: Archive | None = None,
        owners: Owners | None = None,
        engine: Engine | None = None,
        clock: Clock | None = None,
        hidden: Sequence[Path] = (),
        authority: Authority | None = None,
        jobs: JobSettings = DEFAULT,
    ) -> AsyncIterator[Manager]:
        """Locks a state directory, and finds again the jobs that are in it.

        ``containment`` is the level that jobs get, ``auto`` the strongest that works here.
        ``database`` is that of ``open_database``, where the caller has it; ``archive``,
        ``owners``, ``engine`` and ``clock`` take the place of the part that would be made.
        ``hidden`` names more directories that jobs must not see; ``authority`` decides who
        may run what, with what limits, and how many jobs may run and wait; ``jobs`` says
        how every job's processes are set up. On leaving, jobs go on.

        Raises the errors of ``open_database``, ``ContainmentUnavailable``,
        ``LimitUnavailable`` where the ceiling of all jobs together is not enforced here,
        and ``UidsUnavailable`` where another server has taken the owners' users.
        """
        authority = authority or Authority()
        state = Path(state_dir)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at start
        async with AsyncExitStack() as stack:
            if archive is None or owners is None:
                if database is None:
                    database = await stack.enter_async_context(open_database(state))
                archive = SqlArchive(database) if archive is None else archive
                owners = SqlOwners(database) if owners is None else owners
            else:
                stack.enter_context(_locked(state))
            if engine is None:
                engine = await stack.enter_async_context(
                    LocalEngine.open(
                        state, containment, hidden, authority.total, authority.safeguards, jobs
                    )
                )
            opened = cls(engine, archive, owners, clock or SystemClock(), authority)
            stack.push_async_callback(opened.close)
            await opened.recover()
            yield opened


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse(f"another server has the lock of {state}") from None
        yield
    finally:
        os.close(fd)
