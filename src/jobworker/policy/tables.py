"""From the tables of the configuration file to ``Rules``. Pure: the machine is not asked.

``TABLES`` and the tables of keys below are all that the file may hold beside the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jobworker import limits
from jobworker.config import values
from jobworker.config.place import Key
from jobworker.config.toml import Parser, Source, Table, read_table
from jobworker.limits import BYTES, COUNT, CPUS, SECONDS, Kind, Range
from jobworker.model import NO_SAFEGUARDS, Limits, Role, Safeguards
from jobworker.policy.defaults import NO_DEFAULTS, Defaults
from jobworker.policy.limits import exceeds
from jobworker.policy.rules import (
    DEFAULT_LIMITS,
    DEFAULT_REQUESTS,
    DEFAULT_RULE,
    NO_BOUNDS,
    Policy,
    QueueBounds,
    RequestBounds,
    RoleBounds,
    Rule,
    Rules,
)

_OF_KIND: dict[Kind, Callable[[Range], Parser]] = {
    BYTES: values.size,
    CPUS: values.number,
    COUNT: values.whole,
    SECONDS: values.duration,
}

LIMITS: dict[str, Parser] = {
    limit.option: _OF_KIND[limit.kind](limit.range) for limit in limits.LIMITS
}
"""The limits of a job, with the bounds that a start request has, too."""

_ON_OUTPUT_LIMIT = values.one_of("truncate", "kill")

DEFAULTS: dict[str, Parser] = LIMITS | {"on-output-limit": _ON_OUTPUT_LIMIT}
TOTAL: dict[str, Parser] = {
    limit.option: LIMITS[limit.option] for limit in limits.LIMITS if limit.total
}
TOTAL["memory"] = values.or_none(TOTAL["memory"])
_JOBS = 1_000_000
_COUNT = values.whole(Range(1, _JOBS))
QUEUE: dict[str, Parser] = {
    "max-running": _COUNT,
    "max-running-per-user": values.or_none(_COUNT),
    "max-queued": values.whole(Range(0, _JOBS)),
}
PER_USER: dict[str, Parser] = {
    "pids": values.or_none(LIMITS["pids"]),
    "stored-output": values.or_none(LIMITS["output"]),
    "lasting-requests": _COUNT,
}
RULE: dict[str, Parser] = {
    "name": values.text,
    "action": values.one_of("allow", "deny"),
    "roles": values.several(values.one_of(*Role)),
    "users": values.several(values.text),
    "programs": values.several(values.program),
    "sha256": values.digests,
    "args": values.several(values.pattern, empty=True),
    "env": values.several(values.pattern),
    "cwd": values.directory,
    "run-as": values.text,
    "network": values.boolean,
    "limits": dict,
    "on-output-limit": _ON_OUTPUT_LIMIT,
}
POLICY: dict[str, Parser] = {"default": values.one_of("allow", "deny"), "rules": list}
_ALLOWS_ONLY = ("sha256", "env", "cwd", "network", "limits", "on-output-limit")
"""Keys that say how an allowed program runs, and so mean nothing in a rule that denies."""


def rules_from(
    content: Mapping[str, Any], source: Source, defaults: Defaults = NO_DEFAULTS
) -> Rules:
    """The rules in a file's content; raises ``ConfigurationInvalid``."""
    top = Table(source, (), content)
    queue, per_user = top.table("queue", QUEUE), top.table("per-user", PER_USER)
    return Rules(
        bounds=_bounds(top),
        total=_total(top),
        safeguards=_safeguards(top, per_user, defaults.safeguards),
        stored_output=_unless_none(
            per_user.read("stored-output", PER_USER, defaults.stored_output)
        ),
        queue=QueueBounds(
            running=queue.read("max-running", QUEUE, None),
            running_per_user=_unless_none(
                queue.read("max-running-per-user", QUEUE, defaults.running_per_user)
            ),
            queued=queue.read("max-queued", QUEUE, NO_BOUNDS.queued),
        ),
        requests=RequestBounds(
            lasting_per_user=per_user.read(
                "lasting-requests", PER_USER, DEFAULT_REQUESTS.lasting_per_user
            )
        ),
        policy=_policy(top),
    )


def _total(top: Table) -> Limits:
    found = _limits(top.table("total", TOTAL), TOTAL)
    return replace(found, memory=_unless_none(found.memory))


def _safeguards(top: Table, per_user: Table, default: Safeguards | None) -> Safeguards | None:
    """A limit of all jobs that is given takes the place of the safeguard of memory."""
    if default is None and "pids" not in per_user.content:
        return None
    default = default or NO_SAFEGUARDS
    given = "memory" in top.table("total", TOTAL).content
    return Safeguards(
        memory=None if given else default.memory,
        pids=_unless_none(per_user.read("pids", PER_USER, default.pids)),
    )


def _unless_none(value: Any) -> Any:
    return None if value == values.NONE else value


def _bounds(top: Table) -> dict[Role, RoleBounds]:
    of_roles: dict[str, Parser] = dict.fromkeys(Role, dict)
    defaults, ceilings = top.table("limits", of_roles), top.table("ceilings", of_roles)
    return {role: _bounds_of(role, defaults, ceilings) for role in Role}


def _bounds_of(role: Role, all_defaults: Table, all_ceilings: Table) -> RoleBounds:
    defaults = all_defaults.table(role, DEFAULTS)
    ceilings = _limits(all_ceilings.table(role, LIMITS))
    given = _limits(defaults)
    for limit in limits.LIMITS:
        amount, most = getattr(given, limit.name), getattr(ceilings, limit.name)
        if amount is not None and most is not None and exceeds(limit, amount, most):
            raise defaults.wrong(f"is above ceilings.{role}.{limit.option}", limit.option)
    chosen: dict[str, Any] = {
        limit.name: amount
        for limit in limits.LIMITS
        if (amount := getattr(given, limit.name)) is not None
    }
    return RoleBounds(
        defaults=replace(DEFAULT_LIMITS, **chosen),
        ceilings=ceilings,
        on_output_limit=defaults.read("on-output-limit", DEFAULTS, RoleBounds().on_output_limit),
    )


def _limits(table: Table, keys: Mapping[str, Parser] = LIMITS) -> Limits:
    found: dict[str, Any] = {
        limit.name: table.read(limit.option, keys, None) for limit in limits.LIMITS
    }
    return Limits(**found)


def _policy(top: Table) -> Policy:
    table = top.table("policy", POLICY)
    entries = table.content.get("rules", [])
    if not isinstance(entries, list):
        raise table.wrong("must be written as [[policy.rules]]", "rules")
    rules: list[Rule] = []
    for number, entry in enumerate(entries):
        rules.append(_rule(table, number, entry))
        if rules[-1].name in [rule.name for rule in rules[:-1]]:
            raise top.source.complaint(
                (*_place(number), "name"), f"two rules of the policy are named {rules[-1].name!r}"
            )
    allow = table.read("default", POLICY, "allow") == "allow"
    return Policy(allow_by_default=allow, rules=tuple(rules))


def _place(number: int) -> Key:
    return ("policy", "rules", number)


def _rule(policy: Table, number: int, entry: Any) -> Rule:
    table = read_table(policy.source, _place(number), entry, RULE)
    rule = _read_rule(table, f"rule {number + 1}")
    if "action" not in table.content:
        raise table.wrong("must say allow or deny", "action")
    if rule.name == DEFAULT_RULE:
        raise table.wrong(f"must not be {DEFAULT_RULE!r}, which means that no rule matched", "name")
    if not rule.allow:
        for name in _ALLOWS_ONLY:
            if name in table.content:
                raise table.wrong("means nothing in a rule that denies", name)
    if rule.programs is None:
        for name in ("sha256", "cwd"):
            if name in table.content:
                raise table.wrong("means something only beside programs", name)
        if "env" in table.content and rule.run_as is None:
            raise table.wrong("means something only beside programs or run-as", "env")
    return rule


def _read_rule(table: Table, default_name: str) -> Rule:
    roles: tuple[Role, ...] | None = table.read("roles", RULE, None)
    users: tuple[str, ...] | None = table.read("users", RULE, None)
    return Rule(
        name=table.read("name", RULE, default_name),
        allow=table.read("action", RULE, "allow") == "allow",
        roles=None if roles is None else frozenset(roles),
        users=None if users is None else frozenset(users),
        programs=table.read("programs", RULE, None),
        digests=table.read("sha256", RULE, frozenset()),
        args=table.read("args", RULE, None),
        env=table.read("env", RULE, ()),
        cwd=table.read("cwd", RULE, None),
        run_as=table.read("run-as", RULE, None),
        network=table.read("network", RULE, True),
        ceilings=_limits(table.table("limits", LIMITS)),
        on_output_limit=table.read("on-output-limit", RULE, None),
    )
