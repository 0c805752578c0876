"""The policy as values: what an operator has written, checked and ready to decide by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobworker.limits import LIMITS
from jobworker.model import NO_LIMITS, Account, Limits, OnOutputLimit, Role, Safeguards

_DEFAULTS: dict[str, Any] = {limit.name: limit.default for limit in LIMITS}

DEFAULT_LIMITS = Limits(**_DEFAULTS)
"""The limits of a job where nobody has decided otherwise."""

DEFAULT_RULE = "default"
"""Name of what decides where no rule does; no rule may have it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. What is None puts no condition; all conditions must hold.

    ``programs`` and ``args`` hold patterns (``patterns``), ``args`` one for each argument
    with a last ``...`` for any rest. ``env`` lists variables that may be set although
    programs obey them. Jobs of a rule with ``programs`` begin in ``cwd``, or in their own
    ``/tmp``. ``digests`` are SHA-256 in hexadecimal: the file must have one of
    them. ``account`` is what ``run_as`` names, once the machine has been asked.
    """

    name: str
    allow: bool = True
    roles: frozenset[Role] | None = None
    users: frozenset[str] | None = None
    programs: tuple[str, ...] | None = None
    digests: frozenset[str] = frozenset()
    args: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    cwd: str | None = None
    run_as: str | None = None
    account: Account | None = None
    network: bool = True
    ceilings: Limits = NO_LIMITS
    on_output_limit: OnOutputLimit | None = None

    @property
    def title(self) -> str:
        """The rule's name in a sentence; one without a name is called ``rule 2`` as it is."""
        return self.name if self.name.startswith("rule ") else f"rule {self.name}"

    @property
    def checks_program(self) -> bool:
        """Whether the file has to be looked at before it may be executed."""
        return self.allow and self.programs is not None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in their order: the first that matches decides, else the default."""

    allow_by_default: bool = True
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleBounds:
    """The limits of a role's jobs that ask for none, and the most they may ask for."""

    defaults: Limits = DEFAULT_LIMITS
    ceilings: Limits = NO_LIMITS
    on_output_limit: OnOutputLimit = "truncate"


def _bounds() -> Mapping[Role, RoleBounds]:
    return {role: RoleBounds() for role in Role}


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """The most jobs that may run at once, in all and of each owner, and that may wait.

    None where there is no bound.
    """

    running: int | None = None
    running_per_user: int | None = None
    queued: int = 1000


NO_BOUNDS = QueueBounds()


@dataclass(frozen=True, slots=True)
class RequestBounds:
    """The most requests that one user may have open at once that last.

    Those that wait, follow or attach count together, and stops that wait for a grace again.
    """

    lasting_per_user: int = 256


DEFAULT_REQUESTS = RequestBounds()


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything in the configuration that decides about jobs and requests.

    ``total`` is what all jobs together may use; ``safeguards`` are None where there are to be
    none and nobody is to be told so, ``stored_output`` is the most bytes that are kept of one
    user's output.
    """

    bounds: Mapping[Role, RoleBounds] = field(default_factory=_bounds)
    total: Limits = NO_LIMITS
    safeguards: Safeguards | None = None
    stored_output: int | None = None
    queue: QueueBounds = NO_BOUNDS
    requests: RequestBounds = DEFAULT_REQUESTS
    policy: Policy = Policy()
