"""The safeguards that this machine keeps, and what stays without a bound. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobworker.engines.host.enforcement import Enforcement
from jobworker.model import Level, Limits, Safeguards
from jobworker.supervisor.names import OWN_UID

NOT_ASKED = "the configuration says none"


def kept(
    asked: Safeguards,
    ceiling: Limits,
    level: Level,
    rows: Sequence[Enforcement],
    by_job: str | None,
) -> Safeguards:
    """The safeguards among ``asked`` that are kept at a level.

    ``rows`` has what keeps limits here; ``by_job`` is why a resource limit does not count a
    job's processes alone, None where it does. A limit of all jobs that is asked for by name,
    the ``ceiling``, takes the place of a safeguard.
    """
    by_cgroup = any(row.limit == "memory" and row.mechanism for row in rows)
    by_rlimit = level in OWN_UID or (level == "namespaces" and by_job is None)
    return Safeguards(
        memory=asked.memory if by_cgroup and ceiling.memory is None else None,
        pids=asked.pids if by_rlimit else None,
    )


def gaps(
    asked: Safeguards,
    ceiling: Limits,
    level: Level,
    rows: Sequence[Enforcement],
    by_job: str | None,
) -> Iterator[str]:
    """A sentence about each resource that one user can take from the others."""
    keeps = kept(asked, ceiling, level, rows, by_job)
    if keeps.memory is None and ceiling.memory is None:
        missing = next((row.missing for row in rows if row.limit == "memory"), None)
        why = NOT_ASKED if asked.memory is None else missing or "there is no memory cgroup"
        yield f"the memory of all jobs together is not bounded: {why}"
    if asked.pids is None:
        yield f"the processes of a user are not bounded: {NOT_ASKED}"
    elif level == "namespaces" and keeps.pids is not None:
        yield (
            f"the processes of a user are not bounded, but those of each job are, to {keeps.pids}: "
            "at containment level namespaces all users have the server's account"
        )
    elif keeps.pids is None:
        why = "all users have the server's account, and the server too"
        if level == "namespaces":
            why = f"a resource limit does not count a job's processes alone ({by_job})"
        yield f"the processes of a user are not bounded at containment level {level}: {why}"
