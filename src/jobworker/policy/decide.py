"""May this user run this program? One pure decision; the first rule that matches makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobworker.model import NO_LIMITS, Account, Limits, OnOutputLimit, Role
from jobworker.policy.environment import is_harmless, refused_variable
from jobworker.policy.limits import Ceiling, effective
from jobworker.policy.patterns import arguments_match, matches_any
from jobworker.policy.rules import DEFAULT_RULE, Policy, RoleBounds, Rule, Rules


@dataclass(frozen=True, slots=True)
class Request:
    """A user's request to run a program. ``canonical`` is its path without links."""

    user: str
    role: Role
    program: str
    canonical: str
    args: tuple[str, ...] = ()
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    run_as: str | None = None
    network: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of the policy, and what it imposes where it allows.

    ``rule`` is the name of the rule that decides, ``default`` where none does; ``reason``
    a sentence for the user. ``cwd`` is the working directory, where a rule gives one; where
    ``checks_program`` it is that or the job's own, whatever was asked for, and only accounts
    that the server trusts may be able to change the file, which has one of ``digests`` if
    there are any.
    """

    allowed: bool
    rule: str
    reason: str
    account: Account | None = None
    cwd: str | None = None
    network: bool = True
    checks_program: bool = False
    digests: frozenset[str] = frozenset()
    defaults: Limits = NO_LIMITS
    ceilings: tuple[Ceiling, ...] = ()
    on_output_limit: OnOutputLimit = "truncate"

    def limits(self, asked: Limits) -> Limits:
        """The effective limits for a job that asks for these; raises ``LimitTooHigh``."""
        return effective(asked, self.defaults, self.ceilings)


def decide(rules: Rules, request: Request) -> Decision:
    """The decision on a request; never raises, whatever the texts in it."""
    bounds = rules.bounds[request.role]
    rule = first_match(rules.policy, request)
    if rule is None:
        return _by_default(rules.policy, request, bounds)
    if not rule.allow:
        return _refused(rule.name, f"{rule.title} of the policy denies it")
    if reason := _leads_astray(rule, request):
        return _refused(rule.name, reason)
    return Decision(
        allowed=True,
        rule=rule.name,
        reason=f"{rule.title} of the policy allows it",
        account=rule.account,
        cwd=rule.cwd,
        network=request.network and rule.network,
        checks_program=rule.checks_program,
        digests=rule.digests,
        defaults=bounds.defaults,
        ceilings=(*_of_role(request.role, bounds), Ceiling(rule.ceilings, rule.title)),
        on_output_limit=rule.on_output_limit or bounds.on_output_limit,
    )


def first_match(policy: Policy, request: Request) -> Rule | None:
    """The rule that decides, or None where that is left to the default."""
    return next((rule for rule in policy.rules if _matches(rule, request)), None)


def _matches(rule: Rule, request: Request) -> bool:
    return (
        (rule.roles is None or request.role in rule.roles)
        and (rule.users is None or request.user in rule.users)
        and _matches_account(rule, request.run_as)
        and _matches_program(rule, request)
        and _matches_arguments(rule, request.args)
    )


def _leads_astray(rule: Rule, request: Request) -> str | None:
    """The reason why a program would not be what the rule means by it; or None.

    A working directory decides what is run as a variable does: ``python -m json.tool`` looks
    for the module there first.
    """
    if rule.checks_program and request.cwd not in (None, rule.cwd):
        where = rule.cwd or "the job's own /tmp"
        return (
            f"{rule.title} of the policy has its jobs begin in {where}, so that they read "
            "nothing else; leave the working directory out"
        )
    with_account = rule.run_as is not None
    if not with_account and not rule.checks_program:
        return None
    variable = refused_variable(request.env, rule.env, with_account=with_account)
    if variable is None:
        return None
    return (
        f"{rule.title} of the policy does not let the variable {variable[:80]!r} be set"
        f"{' to this' if is_harmless(variable) else ''}, as it may change what is run"
    )


def _matches_account(rule: Rule, asked: str | None) -> bool:
    """Whether the rule speaks of a request for this account.

    A user who asks for none is given the one that a rule allows, but is not denied it. One
    who asks for an account cannot slip through a denial that names none.
    """
    if asked == rule.run_as:
        return True
    return asked is None if rule.allow else rule.run_as is None


def _matches_program(rule: Rule, request: Request) -> bool:
    """Whether the rule names the canonical path, or denies the path as it was asked for."""
    if rule.programs is None:
        return True
    if rule.allow:
        return matches_any(rule.programs, request.canonical)
    paths = (request.canonical, request.program)
    return any(matches_any(rule.programs, path, across_lines=True) for path in paths)


def _matches_arguments(rule: Rule, args: tuple[str, ...]) -> bool:
    return rule.args is None or arguments_match(rule.args, args, across_lines=not rule.allow)


def _by_default(policy: Policy, request: Request, bounds: RoleBounds) -> Decision:
    if request.run_as is not None:
        return _refused(DEFAULT_RULE, "no rule of the policy gives this account for this program")
    if not policy.allow_by_default:
        return _refused(DEFAULT_RULE, "no rule of the policy allows it")
    return Decision(
        allowed=True,
        rule=DEFAULT_RULE,
        reason="the policy allows what no rule denies",
        network=request.network,
        defaults=bounds.defaults,
        ceilings=_of_role(request.role, bounds),
        on_output_limit=bounds.on_output_limit,
    )


def _of_role(role: Role, bounds: RoleBounds) -> tuple[Ceiling, ...]:
    return (Ceiling(bounds.ceilings, f"role {role}"),)


def _refused(rule: str, reason: str) -> Decision:
    return Decision(allowed=False, rule=rule, reason=reason)
