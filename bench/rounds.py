"""Rates and latencies in rounds: each kind of load has its turn in every round.

A machine that gets slower in the meantime then slows all of them, and shares of the floor
are computed within one round.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import load, mux, programs
from bench.figures import Figure, percentile
from bench.peer import Ssh
from bench.server import Server

_TRUE = ["/bin/true"]
_DEPTH = 8


@dataclass(frozen=True)
class Sizes:
    """How many programs, jobs and calls make one turn."""

    programs: int
    jobs: int
    calls: int


@dataclass(frozen=True)
class Round:
    """What one round found: programs or jobs a second, and milliseconds."""

    floor: float
    strongest: float
    basic: float
    starts: Sequence[float]
    exits: Sequence[float]


@dataclass(frozen=True)
class PeerRound:
    """The same of the peer: by the command ssh, and by its connection alone."""

    commands: float
    calls: float
    command_exits: Sequence[float]
    call_exits: Sequence[float]


def measure(strongest: Server, basic: Server, sizes: Sizes) -> Round:
    floor = programs.rate([_TRUE] * _DEPTH, sizes.programs)
    rates = []
    for server in (strongest, basic):
        rates.append(load.rate(server, sizes.jobs))
        load.settle(server)
    starts, exits = load.latencies(strongest, sizes.calls)
    load.settle(strongest)
    return Round(floor, rates[0], rates[1], starts, exits)


def measure_peer(ssh: Ssh, sizes: Sizes) -> PeerRound:
    commands = programs.rate([ssh.call] * load.CLIENTS, sizes.jobs // 2)
    with ThreadPoolExecutor(load.CLIENTS) as pool:
        begun = time.perf_counter()
        list(pool.map(lambda _: _call(ssh), range(sizes.jobs)))
        calls = sizes.jobs / (time.perf_counter() - begun)
    return PeerRound(
        commands=commands,
        calls=calls,
        command_exits=[programs.seconds(ssh.call) * 1000 for _ in range(sizes.calls // 4)],
        call_exits=[_call(ssh) for _ in range(sizes.calls // 4)],
    )


def figures(rounds: Sequence[Round], level: str) -> list[Figure]:
    """The rows of the table; the targets are those of ``full``, and so are the others'."""
    p50 = {name: [percentile(getattr(r, name), 0.5) for r in rounds] for name in _LATENCIES}
    p99 = {name: [percentile(getattr(r, name), 0.99) for r in rounds] for name in _LATENCIES}
    clients = f"jobs over HTTPS, {load.CLIENTS} clients"
    return [
        Figure(f"floor: posix_spawn of /bin/true, {_DEPTH} deep", [r.floor for r in rounds], "/s"),
        Figure(f"{clients}, `{level}`", [r.strongest for r in rounds], "/s"),
        Figure("  share of the floor", [r.strongest / r.floor for r in rounds], "", at_least=0.17),
        Figure(f"{clients}, `basic`", [r.basic for r in rounds], "/s"),
        Figure("  share of the floor", [r.basic / r.floor for r in rounds], ""),
        Figure(f"POST /jobs/start, one client, `{level}`, p50", p50["starts"], "ms", at_most=5),
        Figure("  p99", p99["starts"], "ms", at_most=15),
        Figure("start to observed exit of /bin/true, p50", p50["exits"], "ms", at_most=9),
        Figure("  p99", p99["exits"], "ms"),
    ]


def peer_figures(rounds: Sequence[PeerRound]) -> list[Figure]:
    """The rows of the peer."""
    once = [percentile(r.command_exits, 0.5) for r in rounds]
    bare = [percentile(r.call_exits, 0.5) for r in rounds]
    at_once = f"{load.CLIENTS} at once"
    return [
        Figure("peer: `ssh peer /bin/true`, ready connection, p50", once, "ms"),
        Figure(f"  {at_once}", [r.commands for r in rounds], "/s"),
        Figure("peer: the same without a new ssh process, p50", bare, "ms"),
        Figure(f"  {at_once}", [r.calls for r in rounds], "/s"),
    ]


_LATENCIES = ("starts", "exits")


def _call(ssh: Ssh) -> float:
    """Milliseconds of one call over the connection."""
    begun = time.perf_counter()
    mux.run(ssh.control, "/bin/true")
    return (time.perf_counter() - begun) * 1000
