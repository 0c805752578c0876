"""What the server itself weighs: at rest, full of jobs, after crowds of readers, in a flood.

``python -m bench.weight`` measures this alone and prints its table. Memory can be read by
root only; the readers are curl's, and for the flood sockets of ours that never read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, machine, memory
from bench.figures import Figure, table
from bench.output import content
from bench.server import Server

_CROWDS = 3
_NAP = "600"
"""Seconds that a job sleeps: longer than all of this."""

_STEADY = 4.0
"""Seconds without a new extreme after which a weight is taken for settled: the server's
allocators give back within one."""
_SETTLE_BUDGET = 60.0
"""Seconds after which it is taken as it is."""

_PAUSE = 0.2


@dataclass(frozen=True)
class Sizes:
    """Readers of a crowd and megabytes for each; followers of a flood, who read nothing."""

    readers: int
    megabytes: int
    followers: int


FULL = Sizes(readers=200, megabytes=50, followers=500)
QUICK = Sizes(readers=20, megabytes=5, followers=50)


def figures(server: Server, sizes: Sizes) -> list[Figure]:
    """The rows of crowds and floods, on a server that has what jobs it has."""
    with content(sizes.megabytes) as file:
        return [*_crowds(server, file, sizes), *_floods(server, file, sizes)]


def _crowds(server: Server, file: Path, sizes: Sizes) -> Iterator[Figure]:
    what = f"{_CROWDS} crowds of {sizes.readers} readers of {sizes.megabytes} MB"
    with closing(server.connect()) as connection:
        stored = connection.start("/bin/cat", str(file))
        connection.wait(stored)
    load.settle(server)
    for name, path in (("raw bytes", "output/stdout"), ("frames", "output?follow=true")):
        for _ in range(_CROWDS):
            server.curl([f"/jobs/{stored}/{path}"] * sizes.readers)
        yield _figure(f"PSS of the server after {what}, {name}", settled(server), at_most=100)


def _floods(server: Server, file: Path, sizes: Sizes) -> Iterator[Figure]:
    """A job that writes all at once and goes on, and followers none of whom reads anything.

    Each on a server that has just begun: what a crowd before has left would be used again.
    """
    flood = f"cat {file}; exec sleep {_NAP}"
    second = server.add_admin("second")  # one user may not have so many
    for name, path in (("raw bytes", "output/stdout"), ("frames", "output")):
        server.kill()
        server.start()
        with closing(server.connect()) as connection:
            job = connection.start("/bin/sh", "-c", flood)
        with _deaf(server, second, f"/jobs/{job}/{path}?follow=true", sizes.followers):
            peak = _extreme(server, max)
        what = f"PSS of the server, {sizes.followers} followers that do not read, {name}, peak"
        yield _figure(what, peak)
        yield _figure("  once they have gone", settled(server), at_most=100)


@contextmanager
def _deaf(server: Server, second: str, path: str, count: int) -> Iterator[None]:
    """Connections that ask for ``path`` and read nothing of the answer before the end."""
    with ExitStack() as stack:
        opened = []
        for number in range(count):
            token = second if number % 2 else None
            opened.append(stack.enter_context(closing(server.connect(token, receive=4096))))
            opened[-1].ask(path)
        yield
        for connection in opened:
            connection.expect_ok()


def settled(server: Server) -> float:
    """The least weight, once it has not gone down for a while."""
    return _extreme(server, min)


def _extreme(server: Server, choose: Callable[[float, float], float]) -> float:
    begun = since = time.monotonic()
    found = memory.megabytes(server.pid)
    while time.monotonic() < min(since + _STEADY, begun + _SETTLE_BUDGET):
        time.sleep(_PAUSE)
        now = choose(found, memory.megabytes(server.pid))
        if abs(now - found) > 0.01 * found:
            since = time.monotonic()
        found = now
    return found


def _figure(what: str, weight: float, at_most: float | None = None) -> Figure:
    print(f"bench: {what}: {weight:.1f} MB", flush=True)  # it takes minutes: one sees it go on
    return Figure(what, [weight], "MB", at_most=at_most)


def _alone(finished: int, running: int, sizes: Sizes) -> list[Figure]:
    with Server("auto") as server:
        found = [_figure("PSS of the server that made its state", settled(server))]
        server.kill()
        server.start()
        found.append(_figure("PSS of the server at rest", settled(server)))
        load.many(server, finished, load.run_one)
        load.settle(server)
        found.append(_figure(f"  with {finished:,} finished", settled(server), at_most=80))
        load.start_many(server, running, "/bin/sleep", _NAP)
        what = f"  with {running:,} running and {finished:,} finished"
        found.append(_figure(what, settled(server), at_most=80))
        return [*found, *figures(server, sizes)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Weigh the server.")
    parser.add_argument("--finished", type=int, default=10_000)
    parser.add_argument("--running", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="fewer readers, to try it")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    found = _alone(arguments.finished, arguments.running, sizes)
    facts = "".join(f"* {name}: {value}\n" for name, value in machine.facts().items())
    print(f"{facts}\n{table(found)}")


if __name__ == "__main__":
    main()
