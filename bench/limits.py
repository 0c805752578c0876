"""What limits add to a start: jobs with and without them in turn, through the library.

    python bench/limits.py [rounds]

Takes root and a cgroup v1 hierarchy ``cpuacct``, in which CPU time is counted: that of
this process, its spawner, the supervisors and the programs.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobworker.manager import Manager
from jobworker.model import Limits, Spec

ALL = Limits(memory=256 << 20, cpus=1.0, pids=100)
KINDS = {
    "none": Limits(),
    "memory": Limits(memory=256 << 20),
    "cpus": Limits(cpus=1.0),
    "pids": Limits(pids=100),
    "nice (fork alone)": Limits(nice=1),
    "all three": ALL,
}
BATCH = 20
ACCOUNTED = Path("/sys/fs/cgroup/cpuacct")


@contextmanager
def accounted() -> Iterator[Path]:
    mine = ACCOUNTED / f"bench-{os.getpid()}"
    mine.mkdir()
    (mine / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield mine / "cpuacct.usage"
    finally:
        (ACCOUNTED / "cgroup.procs").write_text(str(os.getpid()))
        mine.rmdir()


async def measure(rounds: int, used: Callable[[], int]) -> None:
    starts: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as state:
        async with Manager.open(state, containment="full") as manager:
            for _ in range(rounds):
                for kind, limits in KINDS.items():
                    before = used()
                    for _ in range(BATCH):
                        starts[kind].append(await one(manager, limits))
                    await asyncio.sleep(0.05)  # what is cleared away after the end counts, too
                    cpu[kind].append((used() - before) / 1e6 / BATCH)
    for kind in KINDS:
        quantiles = statistics.quantiles(starts[kind], n=100)
        print(
            f"{kind:20} start p50 {quantiles[49]:6.2f} ms  p99 {quantiles[98]:6.2f} ms"
            f"  CPU {statistics.median(cpu[kind]):6.2f} ms a job"
        )


async def one(manager: Manager, limits: Limits) -> float:
    begun = time.perf_counter()
    job = await manager.submit(Spec("/bin/true", limits=limits), "alice")
    started = (time.perf_counter() - begun) * 1000
    await manager.wait(job.id)
    return started


def main() -> None:
    with accounted() as usage:
        asyncio.run(measure(int((sys.argv[1:] or ["10"])[0]), lambda: int(usage.read_text())))


main()
