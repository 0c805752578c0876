"""The abilities of this machine, found out once, before the first job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jobworker.config.jobs import DEFAULT, JobSettings, UidRange
from jobworker.config.settings import Containment
from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.cgroups import Cgroups, find
from jobworker.engines.host.enforcement import Enforcement, spawner_arguments, table
from jobworker.engines.host.probe import choose, pids_by_rlimit
from jobworker.engines.host.safeguards import gaps, kept
from jobworker.engines.host.tmp_quota import tmp_row
from jobworker.engines.host.uid_claims import claim_uids
from jobworker.model import NO_SAFEGUARDS, JobId, Level, Limits, Safeguards
from jobworker.supervisor.names import OWN_UID

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """The level that jobs get, where their cgroups are, and what enforces each limit.

    ``ceiling`` is what all jobs together may use, ``safeguards`` what is kept beside it;
    ``uids`` is the range of the owners' users, at levels that give each owner one.
    """

    containment: Level
    cgroups: Cgroups
    limits: list[Enforcement]
    ceiling: Limits
    safeguards: Safeguards = NO_SAFEGUARDS
    jobs: JobSettings = DEFAULT
    uids: UidRange | None = None

    @property
    def spawner_arguments(self) -> list[str]:
        """The arguments of a spawner that say how jobs are limited and set up."""
        jobs = [f"oom={self.jobs.oom_score_adj}", *(["io-uring=yes"] if self.jobs.io_uring else [])]
        return [*spawner_arguments(self.cgroups, self.ceiling, self.safeguards), *jobs]

    @classmethod
    def survey(
        cls,
        state: Path,
        containment: Containment,
        ceiling: Limits,
        supervised: Callable[[JobId], bool],
        asked: Safeguards | None = None,
        jobs: JobSettings = DEFAULT,
    ) -> Machine:
        """Finds them out before a spawner is started, which stays in the cgroup it starts in.

        Without safeguards ``asked`` for, there are none. May take seconds. Raises
        ``ContainmentUnavailable``, ``LimitUnavailable`` where the ceiling is not enforced, and
        ``UidsUnavailable`` where another server has taken the owners' users.
        """
        cgroups = find(state)
        try:
            cgroup_upkeep.sweep(cgroups, supervised)
            cgroup_upkeep.set_ceiling(cgroups, ceiling)
            level = choose(containment)
            uids = claim_uids(state, jobs.uids) if level in OWN_UID else None
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
        machine = cls(level, cgroups, limits, ceiling, jobs=jobs, uids=uids)
        return machine if asked is None else machine._guarded(asked)

    def _guarded(self, asked: Safeguards) -> Machine:
        """Keeps those safeguards that it can; logs what stays without a bound."""
        by_job = pids_by_rlimit() if self.containment == "namespaces" else None
        terms = (asked, self.ceiling, self.containment, self.limits, by_job)
        keeps = kept(*terms)
        for gap in gaps(*terms):
            log.warning("%s", gap)
        if keeps.memory is not None:
            try:
                cgroup_upkeep.bound_memory(self.cgroups, keeps.memory)
            except OSError as error:  # the jobs that run have more: a restart must not fail for it
                keeps = replace(keeps, memory=None)
                log.warning("the memory of all jobs together is not bounded: %s", error)
        return replace(self, safeguards=keeps)
