"""Jobs under limits, with whatever this machine has to keep them.

The tests pass on cgroup v1, on v2 as root and with a delegated subtree, and without any
cgroup that is ours: there they hold the service to its refusal.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from jobworker.embedded import Manager
from jobworker.engines.host.cgroup_delegation import LEAF, available
from jobworker.engines.host.cgroup_tree import memberships, own_directory
from jobworker.engines.host.mountinfo import mounts
from jobworker.engines.local.engine import LocalEngine
from jobworker.errors import LimitUnavailable
from jobworker.model import NO_LIMITS, Job, JobId, Level, Limits, Safeguards, Spec
from support.kernel import disk_on_tmp

BUDGET = 60.0
"""Seconds for a job to end: these machines may be busy, and an emulated one is slow."""


class Jobs:
    """A manager and its engine, and jobs of alice's."""

    def __init__(self, manager: Manager, engine: LocalEngine, state: Path) -> None:
        self.manager = manager
        self.engine = engine
        self.state = state

    def keeps(self, *limits: str) -> bool:
        """Whether all of these can be kept here, as they must be for root.

        But for ``tmp``, which takes a file system that few machines have: there is one in
        a kernel of our own.
        """
        lacking = [row for row in self.engine.machine.limits if row.mechanism is None]
        missing = [row for row in lacking if row.limit != "tmp" or disk_on_tmp()]
        assert not missing or (os.geteuid() != 0 and "JOBWORKER_IN_KERNEL" not in os.environ)
        return not {row.limit for row in lacking} & set(limits)

    async def start(self, limits: Limits, *argv: str) -> Job | None:
        """Start a job; None where the limits are not enforced here, and the start is refused."""
        spec = Spec(argv[0], argv[1:], limits=limits)
        names = {"memory": "memory", "cpus": "cpus", "pids": "pids", "tmp": "tmp"}
        asked = [name for key, name in names.items() if getattr(limits, key) is not None]
        if self.keeps(*asked):
            return await self.manager.submit(spec, "alice")
        before = (await self.manager.list()).jobs, self.spool()
        with pytest.raises(LimitUnavailable) as refused:
            await self.manager.submit(spec, "alice")
        assert refused.value.hint
        assert ((await self.manager.list()).jobs, self.spool()) == before
        return None

    async def end(self, job: Job) -> Job:
        """Wait for its end, and until nothing of it is left."""
        ended = await self.manager.wait(job.id, BUDGET)
        assert ended.end, f"{ended.id} goes on"
        return ended

    async def run(self, limits: Limits, *argv: str) -> tuple[Job, str] | None:
        """Run a job to its end: how it ended, and what it has printed."""
        job = await self.start(limits, *argv)
        if job is None:
            return None
        ended = await self.end(job)
        output = await self.manager.output(job.id)
        return ended, (output.stdout + output.stderr).decode()

    def spool(self) -> list[Path]:
        """The directories of the live jobs."""
        return list((self.state / "spool").iterdir())

    def cgroups_of(self, job_id: str | JobId) -> list[Path]:
        """The directories of the job's cgroups that there are now."""
        places = (Path(path) / job_id for _, path in self.engine.machine.cgroups.directories)
        return [path for path in places if path.exists()]

    def any_cgroups(self) -> list[Path]:
        """The directories of all jobs' cgroups."""
        return [
            job
            for _, path in self.engine.machine.cgroups.directories
            for job in Path(path).glob("j-*")
        ]


Open = Callable[..., AbstractAsyncContextManager[Jobs]]


@pytest.fixture
def own_cgroup() -> Iterator[Path | None]:
    """The v2 cgroup that is ours to divide, if there is one.

    But for the root, all that is in it moves to a leaf first and back in the end: pytest
    has a parent there, so a server in this process could not move by itself.
    """
    own = _own_unified()
    if own is None or not os.access(own, os.W_OK) or "memory" not in available(own):
        yield None
    elif not (own / "cgroup.type").exists():
        yield own
    else:
        yield from _at_home(own)


def _at_home(own: Path) -> Iterator[Path]:
    leaf = own / LEAF
    leaf.mkdir()
    _move_all(own, leaf)
    try:
        yield own
    finally:
        (own / "cgroup.subtree_control").write_text("-memory -cpu -pids")
        _move_all(leaf, own)
        leaf.rmdir()


def _own_unified() -> Path | None:
    mounted = mounts()
    own = own_directory("", mounted, memberships(Path("/proc/self/cgroup").read_bytes()))
    return Path(own) if own else None


def _move_all(source: Path, target: Path) -> None:
    while pids := (source / "cgroup.procs").read_text().split():
        for pid in pids:
            try:
                (target / "cgroup.procs").write_text(pid)
            except ProcessLookupError:
                continue  # it has ended meanwhile


@pytest.fixture
def open_jobs(tmp_path: Path, own_cgroup: Path | None) -> Open:  # noqa: ARG001 - for what it does
    """Open a manager on this test's state."""

    @asynccontextmanager
    async def opened(
        level: Level | None = None,
        ceiling: Limits = NO_LIMITS,
        safeguards: Safeguards | None = None,
    ) -> AsyncIterator[Jobs]:
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        async with (
            LocalEngine.open(
                state, level or "auto", ceiling=ceiling, safeguards=safeguards
            ) as engine,
            Manager.open(state, engine=engine) as manager,
        ):
            yield Jobs(manager, engine, state)

    return opened


@pytest.fixture
async def jobs(open_jobs: Open) -> AsyncIterator[Jobs]:
    """The strongest level that works here, without a ceiling."""
    async with open_jobs() as opened:
        yield opened
