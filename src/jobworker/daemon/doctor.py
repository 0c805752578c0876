"""``jobd doctor``: how this machine can wall jobs off and limit them, and what more would take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from jobworker.config.settings import Settings
from jobworker.daemon import bounds
from jobworker.daemon.options import add_settings, settings_of
from jobworker.engines.host.enforcement import Enforcement
from jobworker.engines.host.probe import Probe, choose, pids_by_rlimit, probe
from jobworker.engines.host.safeguards import gaps
from jobworker.engines.host.survey import survey
from jobworker.errors import ConfigurationInvalid
from jobworker.model import NO_SAFEGUARDS, Level
from jobworker.policy.load import warnings

ABOUT = (
    "Show which levels of containment work here, which limits are enforced, what is missing for "
    "the others, and what has no bound."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the form of the answer, and which server's file system to look at."""
    add_settings(parser, "state")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Tries each level and each limit, and prints the results."""
    probes = probe()
    level = choose("auto")
    settings = settings_of(arguments)
    limits = survey(level, settings.state)
    warned = list(of_configuration(settings, level, limits))
    if arguments.json:
        found = {
            "containment": [asdict(one) for one in probes],
            "limits": [asdict(one) for one in limits],
            "warnings": warned,
        }
        print(json.dumps(found))  # noqa: T201 - what a command prints
        return
    for line in (*levels(probes), "", f"Limits at {level}, the level that auto takes here:"):
        print(line)  # noqa: T201 - what a command prints
    told = [f"Warning: {warning}." for warning in warned]
    for line in (*table(limits), *([""] if told else []), *told):
        print(line)  # noqa: T201 - what a command prints


def of_configuration(
    settings: Settings, level: Level, limits: Sequence[Enforcement]
) -> Iterator[str]:
    """A sentence about each thing without a bound, and about what may not have been meant."""
    try:
        rules = bounds.rules_of(settings)
    except ConfigurationInvalid as error:
        yield f"the configuration cannot be used: {error}"
        return
    by_job = pids_by_rlimit() if level == "namespaces" else None
    yield from gaps(rules.safeguards or NO_SAFEGUARDS, rules.total, level, limits, by_job)
    yield from bounds.gaps(rules)
    yield from warnings(rules.policy)


def levels(probes: Iterable[Probe]) -> Iterator[str]:
    """The lines about levels, the strongest first."""
    yield "LEVEL       WORKS  MISSING OR WEAKER"
    for one in probes:
        works = "yes" if one.works else "no"
        yield f"{one.level:<11} {works:<6} {one.missing or one.weaker or '-'}"


def table(limits: Iterable[Enforcement]) -> Iterator[str]:
    """The lines about limits: what keeps each, or what is missing; and what to do, once each."""
    yield "LIMIT       ENFORCED BY    MISSING"
    hints: dict[str, list[str]] = {}
    for one in limits:
        yield f"{one.limit:<11} {one.mechanism or 'nothing':<14} {one.missing or '-'}"
        if one.hint:
            hints.setdefault(one.hint, []).append(one.limit)
    for hint, names in hints.items():
        yield ""
        yield f"For {' and '.join(names)}: {hint}."
