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
from jobworker.engines.host.safeguards import gaps, kept
from jobworker.engines.host.tmp_quota import tmp_row
from jobworker.model import NO_SAFEGUARDS, JobId, Level, Limits, Safeguards

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """The level that jobs get, where their cgroups are, and what enforces each limit.

    ``ceiling`` is what all jobs together may use, ``safeguards`` what is kept beside it.
    """

    containment: Level
    cgroups: Cgroups
    limits: list[Enforcement]
    ceiling: Limits
    safeguards: Safeguards = NO_SAFEGUARDS

    @classmethod
    def survey(
        cls,
        state: Path,
        containment: Containment,
        ceiling: Limits,
        supervised: Callable[[JobId], bool],
        asked: Safeguards | None = None,
    ) -> Machine:
        """Finds them out before a spawner is started, which stays in the cgroup it starts in.

        Without safeguards ``asked`` for, there are none. May take seconds.
        Raises ``ContainmentUnavailable``, and ``LimitUnavailable`` where
        the ceiling is not enforced.
        """
        cgroups = find(state)
        try:
            cgroup_upkeep.sweep(cgroups, supervised)
            cgroup_upkeep.set_ceiling(cgroups, ceiling)
            level = choose(containment)
            limits = table(cgroups, level, pids_by_rlimit, tmp_row(level, state))
            keeps, told = NO_SAFEGUARDS, list[str]()
            if asked is not None:
                by_job = pids_by_rlimit() if level == "namespaces" else None
                keeps = kept(asked, ceiling, level, limits, by_job)
                told += list(gaps(asked, ceiling, level, limits, by_job))
                if keeps.memory is not None:
                    cgroup_upkeep.bound_memory(cgroups, keeps.memory)
        except BaseException:
            cgroup_upkeep.leave(cgroups)
            raise
        log.info("containment level is %s", level)
        if level == "basic":
            log.warning(
                "containment level basic: jobs run as the server's own user and can reach "
                "its files, each other and the server; run jobd only for people you trust"
            )
        for gap in told:
            log.warning("%s", gap)
        return cls(level, cgroups, limits, ceiling, keeps)
