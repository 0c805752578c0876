"""The limits that are enforced here, by what, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from jobworker.engines.host.cgroups import WHAT_TO_DO, Cgroups, commons_of
from jobworker.errors import LimitUnavailable
from jobworker.limits import LIMITS
from jobworker.model import NO_SAFEGUARDS, Level, Limits, Safeguards
from jobworker.supervisor.names import commons_argument

_BY_CGROUP = ("memory", "cpus", "pids")
_BY_PROCESS = {"open_files": "rlimit", "nice": "priority"}

BY_ENGINE = (*_BY_CGROUP, *_BY_PROCESS, "tmp")
"""The limits that the machine has to enforce, so that an engine has to find out whether it can."""

BY_SUPERVISOR = ("output", "timeout")
"""The limits that a supervisor enforces by itself, on every machine."""

_FIELDS = {limit.name: limit.field for limit in LIMITS}
"""The fields of limits in requests and records, by their names."""


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The mechanism that enforces a limit here; if None, what is ``missing`` and what to do."""

    limit: str
    mechanism: str | None
    missing: str | None = None
    hint: str | None = None


def table(
    cgroups: Cgroups, level: Level, pids_by_rlimit: Callable[[], str | None], tmp: Enforcement
) -> list[Enforcement]:
    """The enforcement of each limit at a level of containment.

    ``pids_by_rlimit`` tries whether a resource limit counts the processes of a job alone,
    and says what is missing where it does not; ``tmp`` is the row of that limit.
    """
    rows = [
        Enforcement(limit, f"cgroup v{cgroups.found[limit][0]}")
        if limit in cgroups.found
        else Enforcement(limit, None, cgroups.missing[limit], WHAT_TO_DO)
        for limit in _BY_CGROUP
    ]
    if rows[-1].mechanism is None:
        rows[-1] = _without_controller(rows[-1], level, pids_by_rlimit)
    rows += [Enforcement(_FIELDS[name], mechanism) for name, mechanism in _BY_PROCESS.items()]
    return [*rows, tmp]


def _without_controller(
    row: Enforcement, level: Level, pids_by_rlimit: Callable[[], str | None]
) -> Enforcement:
    if level != "namespaces":
        return row
    failure = pids_by_rlimit()
    if failure is None:
        return Enforcement("pids", "rlimit")
    why = f"a resource limit does not count a job's processes alone ({failure})"
    return replace(row, missing=f"{row.missing}; {why}")


def check_limits(limits: Limits, rows: list[Enforcement]) -> None:
    """Raises ``LimitUnavailable`` where one of ``limits`` is not enforced."""
    asked = {_FIELDS[name] for name in BY_ENGINE if getattr(limits, name) is not None}
    for row in rows:
        if row.mechanism is None and row.limit in asked:
            raise LimitUnavailable(
                f"the limit {row.limit} is not enforced here: {row.missing}",
                hint=row.hint,
                field=f"limits.{row.limit}",
            )


def limit_fields(limits: Limits) -> list[tuple[str, bytes]]:
    """The limits as fields of the record ``spec``."""
    values = ((name, getattr(limits, name)) for name in BY_ENGINE)
    return [
        (_FIELDS[name], (f"{value:g}" if name == "cpus" else str(value)).encode())
        for name, value in values
        if value is not None
    ]


def spawner_arguments(
    cgroups: Cgroups, ceiling: Limits, safeguards: Safeguards = NO_SAFEGUARDS
) -> list[str]:
    """The arguments of a spawner: where cgroups are made, and the bounds of all jobs together."""
    arguments = [
        *cgroups.arguments,
        *(f"ceiling={name}:{value.decode()}" for name, value in limit_fields(ceiling)),
    ]
    if safeguards.pids is not None:
        arguments.append(f"processes={safeguards.pids}")
    if safeguards.memory is not None:
        version, path = cgroups.found["memory"]
        arguments.append(commons_argument(version, safeguards.memory, commons_of(path)))
    return arguments
