"""What limits cost: the start of a job, and the memory of one that runs.

Jobs with and without limits in turn, on one connection, so that a machine that gets
slower in the meantime slows both.
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import load, memory
from bench.connection import Connection
from bench.figures import Figure, percentile
from bench.server import Server

LIMITS: Mapping[str, float] = {"memory": 256 << 20, "cpus": 1, "pids": 100}
NONE: Mapping[str, float] = {}

_TARGET = 1.3
_BATCH = 20
_KERNEL = re.compile(r"^(?:Slab|KernelStack|PageTables|Percpu):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Sizes:
    """How many starts of each kind make a round, and how many jobs are weighed."""

    starts: int
    running: int


def figures(server: Server, sizes: Sizes, repeats: int) -> list[Figure]:
    """The rows of the table."""
    rounds = [_starts(server, sizes.starts) for _ in range(repeats)]
    without, limited = ([percentile(one[kind], 0.5) for one in rounds] for kind in (0, 1))
    p99 = [percentile(one[1], 0.99) for one in rounds]
    ratios = [b / a for a, b in zip(without, limited, strict=True)]
    found = [
        Figure("start without limits, one client, p50", without, "ms"),
        Figure("start with memory, cpus and pids, p50", limited, "ms"),
        Figure("  p99", p99, "ms"),
        Figure("  times a start without", ratios, "", at_most=_TARGET),
    ]
    return found + (_weights(server, sizes.running) if os.geteuid() == 0 else [])


def _starts(server: Server, count: int) -> tuple[Sequence[float], Sequence[float]]:
    """Milliseconds of each start: without limits, and with them."""
    taken: tuple[list[float], list[float]] = ([], [])
    with closing(server.connect()) as connection:
        for _ in range(count // _BATCH):
            for times, limits in zip(taken, (NONE, LIMITS), strict=True):
                times += [_start(connection, limits) for _ in range(_BATCH)]
    load.settle(server)
    return taken


def _start(connection: Connection, limits: Mapping[str, float]) -> float:
    begun = time.perf_counter()
    job_id = connection.start("/bin/true", limits=limits)
    took = (time.perf_counter() - begun) * 1000
    job = connection.wait(job_id)
    assert job["exitCode"] == 0, job
    return took


@dataclass(frozen=True)
class _Weight:
    """Megabytes of one running job: of its processes, and of the kernel for it."""

    processes: float
    kernel: float


def _weights(server: Server, count: int) -> list[Figure]:
    without, limited = (_weigh(server, count, limits) for limits in (NONE, LIMITS))
    return [
        Figure("PSS of a running job without limits", [without.processes], "MB"),
        Figure("  with memory, cpus and pids", [limited.processes], "MB"),
        Figure("memory of the kernel for it, without limits", [without.kernel], "MB"),
        Figure("  with its cgroup", [limited.kernel], "MB"),
    ]


def _weigh(server: Server, count: int, limits: Mapping[str, float]) -> _Weight:
    with closing(server.connect()) as connection:
        before = _kernel_memory()
        ids = [connection.start("/bin/sleep", "600", limits=limits) for _ in range(count)]
        kernel = (_kernel_memory() - before) / count
        jobs = [connection.job(job_id) for job_id in ids]
        processes = statistics.mean([memory.per_job([job]).total for job in jobs[:100]])
        for job_id in ids:
            connection.stop(job_id)
    load.settle(server)
    return _Weight(processes, kernel)


def _kernel_memory() -> float:
    """Megabytes that the kernel has taken for itself (proc_meminfo(5))."""
    found = _KERNEL.findall(Path("/proc/meminfo").read_text())
    return sum(map(int, found)) * 1024 / 1_000_000
