"""The isolation that a job may ask for, and the levels that cannot give it. Pure."""

from __future__ import annotations

from jobworker.errors import IsolationUnavailable
from jobworker.model import LEVELS, Level, Spec, Terms
from jobworker.supervisor.names import OWN_NAMESPACES, OWN_UID


def check_isolation(spec: Spec, terms: Terms, level: Level) -> None:
    """Raises ``IsolationUnavailable`` where ``level`` cannot give what a job asks for."""
    if spec.containment is not None and _is_weaker(level, spec.containment):
        raise IsolationUnavailable(
            f"jobs here run at containment level {level}, and this one asks for "
            f"{spec.containment} at least",
            hint="jobd doctor shows what the machine can do, and what is missing",
            field="containment",
        )
    if not terms.network and level not in OWN_NAMESPACES:
        raise IsolationUnavailable(
            f"a job cannot be kept from the network at containment level {level}",
            hint="it takes the level full or namespaces",
            field="network",
        )
    if terms.run_as is not None and level not in OWN_UID:
        raise IsolationUnavailable(
            f"jobs cannot run as another account at containment level {level}",
            hint="it takes a server that runs as root, at the level full or uid",
            field="runAs",
        )


def _is_weaker(level: Level, other: Level) -> bool:
    return LEVELS.index(level) > LEVELS.index(other)
