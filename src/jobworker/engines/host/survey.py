"""A survey of the limits that a server started from here could keep; it starts none."""

from __future__ import annotations

import os
from pathlib import Path

from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroups import find
from jobworker.engines.host.enforcement import Enforcement, table
from jobworker.engines.host.probe import pids_by_rlimit
from jobworker.engines.host.tmp_quota import tmp_row
from jobworker.model import Level


def survey(level: Level, state: Path) -> list[Enforcement]:
    """Tries every limit, for a server with this state directory, and leaves nothing behind.

    It does not use the name of a server's own cgroups: one may be using them. If the cgroup
    that this process is in is ours alone, it may be moved into one below.
    """
    cgroups = find(Path(f"survey-{os.getpid()}"))
    try:
        return table(cgroups, level, pids_by_rlimit, tmp_row(level, state))
    finally:
        cgroup_upkeep.leave(cgroups)
