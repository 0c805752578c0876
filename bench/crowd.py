"""A server with many jobs: what it weighs, and how soon it is back after a kill."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from bench import load, memory
from bench.figures import Figure
from bench.server import Server

_RESTARTS = 3
_LIFE = "600"
"""Seconds that a job sleeps: longer than the benchmark; it is stopped at the end."""


@dataclass(frozen=True)
class Sizes:
    """How many jobs there are to be."""

    running: int
    finished: int


def figures(server: Server, sizes: Sizes, finished_before: int) -> list[Figure]:
    """Fill the server up, weigh it, and kill and restart it; the jobs go on."""
    load.many(server, max(0, sizes.finished - finished_before), load.run_one)
    load.start_many(server, sizes.running, "/bin/sleep", _LIFE)
    load.settle(server)
    weights = _weigh(server, sizes) if os.geteuid() == 0 else []
    restarts = []
    for _ in range(_RESTARTS):
        server.kill()
        restarts.append(server.start())
    _expect_running(server, sizes.running)
    what = f"restart after SIGKILL with {sizes.running:,} running, until ready"
    after = _weigh_server(server, "  and after a restart", at_most=None) if weights else []
    return [*weights, *after, Figure(what, restarts, "s", at_most=2)]


def _weigh(server: Server, sizes: Sizes) -> list[Figure]:
    job = memory.per_job(_expect_running(server, sizes.running))
    crowd = f"{sizes.running:,} running and {sizes.finished:,} finished"
    return [
        Figure("PSS of a running job: supervisor and `sleep`", [job.total], "MB", at_most=1),
        Figure("  the supervisor alone", [job.supervisor], "MB"),
        Figure("PSS of the spawner", [job.spawner], "MB"),
        *_weigh_server(server, f"PSS of the server, {crowd}", at_most=100),
    ]


def _weigh_server(server: Server, what: str, at_most: float | None) -> Sequence[Figure]:
    return [Figure(what, [memory.megabytes(server.pid)], "MB", at_most=at_most)]


def _expect_running(server: Server, count: int) -> list[dict[str, object]]:
    with closing(server.connect()) as connection:
        jobs = connection.list_running()
    assert len(jobs) == count, f"{len(jobs)} jobs run instead of {count}"
    return jobs
