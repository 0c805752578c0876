"""The levels of containment at which a server can be tried here, each as its account.

As root: ``full`` and ``uid`` are tried as root, the others as an ordinary account.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from jobworker.engines.host.probe import probe
from jobworker.model import Level

ORDINARY = 65534
"""The account of a server without root, where the tests themselves are root's."""

AS_ROOT: tuple[Level, ...] = ("full", "uid")

_PROBE = (
    "from jobworker.engines.host.probe import probe\n"
    "print(*(tried.level for tried in probe() if tried.works))"
)


def working(*levels: Level) -> list[Level]:
    """Those of the levels (all, if none is named) at which a server works here."""
    return [level for level in _working() if not levels or level in levels]


@cache
def _working() -> tuple[Level, ...]:
    ours = [tried.level for tried in probe() if tried.works]
    if os.geteuid() != 0:
        return tuple(ours)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = done.stdout.split()
    return tuple(level for level in AS_ROOT if level in ours) + tuple(
        level for level in ("namespaces", "basic") if level in theirs
    )


def account_for(level: Level) -> int | None:
    """The account of a server at a level; None is the one that runs the tests."""
    return ORDINARY if os.geteuid() == 0 and level not in AS_ROOT else None
