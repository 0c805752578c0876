"""Measure jobworker against its targets, the machine's floor and ssh; print one table.

``--quick`` takes fewer jobs, to try the benchmark itself: its figures mean little,
and ``last.md`` keeps those of the last whole run.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bench import command_line, crowd, limits, lists, machine, output, peer, rounds, web
from bench.figures import Figure, table
from bench.server import Server

_LAST = Path(__file__).with_name("last.md")
_BUDGET = 1200
"""Seconds for the whole run: it is ended, and cleaned up after, when it takes longer."""

_SIDES = """\
What each side does. A job over HTTPS: a durable row in the database, a supervisor process, at
`full` a user and namespaces of its own, a durable exit record, and its output kept; the request
and the wait for its end are two requests on a connection that is ready. The floor: spawn, exec
and wait, nothing else. ssh: a fork and a login shell at the other end of a connection that is
ready; no wall, no record, no output to look at later. `ssh peer /bin/true` is a new client
process for each call, as `jobctl run` is; without it, the bench speaks to ssh's connection
as it speaks to the server's.
"""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    repeats: int
    turns: rounds.Sizes
    crowd: crowd.Sizes
    limits: limits.Sizes
    output: output.Sizes
    commands: int
    lists: lists.Sizes


_FULL = Sizes(
    3,
    rounds.Sizes(2000, 1200, 400),
    crowd.Sizes(1000, 10_000),
    limits.Sizes(400, 200),
    output.Sizes(alone=300, crowd=50, readers=200, lines=500),
    commands=20,
    lists=lists.Sizes(4_000, 400_000),
)
_QUICK = Sizes(
    3,
    rounds.Sizes(400, 96, 40),
    crowd.Sizes(100, 500),
    limits.Sizes(40, 20),
    output.Sizes(alone=30, crowd=5, readers=20, lines=50),
    commands=4,
    lists=lists.Sizes(400, 4_000),
)


def main() -> None:
    arguments = _parse()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGALRM, _leave)
    signal.alarm(_BUDGET)
    facts = machine.facts()
    if arguments.quick:
        facts["mode"] = "--quick: too few jobs to quote"
    found, left_out = _measure(_QUICK if arguments.quick else _FULL)
    report = _report(facts, found, left_out)
    print(report)
    if not arguments.quick:
        _LAST.write_text(report, encoding="utf-8")


def _measure(sizes: Sizes) -> tuple[list[Figure], list[str]]:
    """All figures, and what could not be measured, with the reason."""
    no_peer = peer.missing()
    no_web = web.missing()
    left_out = [f"A peer was not run: {why}." for why in (no_peer, no_web) if why]
    if os.geteuid() != 0:
        left_out.append("Memory was not measured: only root can read it.")
    with ExitStack() as stack:
        strongest = stack.enter_context(Server("auto"))
        basic = stack.enter_context(Server("basic"))
        ssh = None if no_peer else stack.enter_context(peer.Ssh())
        nginx = None if no_web else stack.enter_context(web.Nginx(strongest.home / "state/tls"))
        ours, theirs = [], []
        for number in range(sizes.repeats):
            _say(f"round {number + 1} of {sizes.repeats}")
            ours.append(rounds.measure(strongest, basic, sizes.turns))
            if ssh:
                theirs.append(rounds.measure_peer(ssh, sizes.turns))
        found = rounds.figures(ours, strongest.level())
        found += rounds.peer_figures(theirs) if theirs else []
        _say("limits")
        found += limits.figures(strongest, sizes.limits, sizes.repeats)
        _say("output")
        found += output.figures(strongest, ssh, nginx, sizes.output, sizes.repeats)
        _say("the command line")
        found += command_line.figures(strongest, sizes.commands)
        _say(f"lists of {sizes.lists.large:,} jobs")
        found += lists.figures(sizes.lists)
        _say(f"{sizes.crowd.running:,} running jobs, {sizes.crowd.finished:,} finished ones")
        before = sizes.repeats * (sizes.turns.jobs + sizes.turns.calls + 2 * sizes.limits.starts)
        found += crowd.figures(strongest, sizes.crowd, before)
        return found, left_out


def _report(facts: dict[str, str], found: list[Figure], left_out: list[str]) -> str:
    lines = "".join(f"* {name}: {value}\n" for name, value in facts.items())
    warning = "".join(f"\n**{sentence}**\n" for sentence in left_out)
    return f"# Last benchmark\n\n{lines}{warning}\n{table(found)}\n{_SIDES}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, to try it")
    return parser.parse_args()


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's signature
    # Once is enough: what is left to do is to clean up.
    signal.alarm(0)
    raise SystemExit(f"bench: ended by {signal.Signals(number).name} before it was done")


if __name__ == "__main__":
    main()
