"""Many clients at once, each a thread with one connection that is ready."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bench.connection import Connection
from bench.server import Server

CLIENTS = 16

_SETTLE_BUDGET = 60.0
"""Seconds for what has ended to move to the archive: a gigabyte takes ten."""

Turn = Callable[[Connection], object]


def rate(server: Server, count: int) -> float:
    """Jobs a second, started and seen to have completed, /bin/true each."""
    return count / many(server, count, run_one)


def start_many(server: Server, count: int, program: str, *args: str) -> None:
    """Start jobs and leave them running."""
    many(server, count, lambda connection: connection.start(program, *args))


def many(server: Server, count: int, turn: Turn) -> float:
    """Take ``count`` turns, shared by all clients; returns the seconds from first to last."""
    connections = [server.connect() for _ in range(CLIENTS)]
    shares = [count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS)]
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            begun = time.perf_counter()
            list(pool.map(_take_turns, connections, shares, [turn] * CLIENTS))
            return time.perf_counter() - begun
    finally:
        for connection in connections:
            connection.close()


def settle(server: Server) -> None:
    """Return once what has ended is in the archive and on the disk: the next figure is its own.

    Hundreds of megabytes take seconds, longer than a list by status waits for them.
    """
    deadline = time.monotonic() + _SETTLE_BUDGET
    with closing(server.connect()) as connection:
        while server.spooled() - {job["id"] for job in connection.list_running()}:
            if time.monotonic() > deadline:
                raise RuntimeError("what has ended does not move to the archive")
            time.sleep(0.05)
    os.sync()


def latencies(server: Server, count: int) -> tuple[Sequence[float], Sequence[float]]:
    """One client: milliseconds of each start, and from its begin to the exit observed."""
    started, ended = [], []
    with closing(server.connect()) as connection:
        for _ in range(count):
            begun = time.perf_counter()
            job_id = connection.start("/bin/true")
            started.append((time.perf_counter() - begun) * 1000)
            job = connection.wait(job_id)
            ended.append((time.perf_counter() - begun) * 1000)
            assert job["exitCode"] == 0, job
    return started, ended


def _take_turns(connection: Connection, count: int, turn: Turn) -> None:
    for _ in range(count):
        turn(connection)


def run_one(connection: Connection) -> None:
    """Start /bin/true and wait for its end."""
    job = connection.wait(connection.start("/bin/true"))
    assert job["exitCode"] == 0, job
