"""The abilities of this machine, found out once, before the first job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobworker.config.settings import Containment
from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroups import Cgroups, find
from jobworker.engines.host.enforcement import Enforcement, table
from jobworker.engines.host.probe import choose, pids_by_rlimit
from jobworker.engines.host.tmp_quota import tmp_row
from jobworker.model import JobId, Level, Limits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """The level that jobs get, where their cgroups are, and what enforces each limit.

    ``ceiling`` is what all jobs together may use.
    """

    containment: Level
    cgroups: Cgroups
    limits: list[Enforcement]
    ceiling: Limits

    @classmethod
    def survey(
        cls,
        state: Path,
        containment: Containment,
        ceiling: Limits,
        supervised: Callable[[JobId], bool],
    ) -> Machine:
        """Finds them out before a spawner is started, which stays in the cgroup it starts in.

        May take seconds. Raises ``ContainmentUnavailable``, and ``LimitUnavailable`` where
        the ceiling is not enforced.
        """
        cgroups = find(state)
        try:
            cgroup_upkeep.sweep(cgroups, supervised)
            cgroup_upkeep.set_ceiling(cgroups, ceiling)
            level = choose(containment)
            limits = table(cgroups, level, pids_by_rlimit, tmp_row(level, state))
        except BaseException:
            cgroup_upkeep.leave(cgroups)
            raise
        log.info("containment level is %s", level)
        if level == "basic":
            log.warning(
                "containment level basic: jobs run as the server's own user and can reach "
                "its files, each other and the server; run jobd only for people you trust"
            )
        return cls(level, cgroups, limits, ceiling)
