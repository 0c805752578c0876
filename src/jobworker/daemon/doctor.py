"""``jobd doctor``: how far this machine can wall jobs off, and what more would take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from jobworker.engines.probe import Probe, probe

ABOUT = "Show which levels of containment work here, and what is missing for the others."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the form of the answer."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Try each level and print what came of it."""
    probes = probe()
    if arguments.json:
        print(json.dumps([asdict(one) for one in probes]))  # noqa: T201 - what a command prints
        return
    for line in table(probes):
        print(line)  # noqa: T201 - what a command prints


def table(probes: Iterable[Probe]) -> Iterator[str]:
    """The lines of the table, the strongest level first."""
    yield "LEVEL       WORKS  MISSING OR WEAKER"
    for one in probes:
        works = "yes" if one.works else "no"
        yield f"{one.level:<11} {works:<6} {one.missing or one.weaker or '-'}"
