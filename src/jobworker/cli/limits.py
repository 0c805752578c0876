"""The options of ``start`` and ``run`` that bound a job, read strictly by the table of limits."""

from __future__ import annotations

from jobworker.cli.invocation import UsageError
from jobworker.limits import GRACE, RESOURCES, TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.limits import Limit

LEVELS = ("full", "namespaces", "uid", "basic")
"""The levels of containment, the strongest first."""

TIMES = (TIMEOUT, GRACE)

SURROUNDINGS: tuple[Option, ...] = (
    ("no-network", "", "", "without network, but for a loopback of its own"),
    ("run-as", "", "NAME", "as this account of the server's machine"),
)
"""The other options that the policy decides about."""

OPTIONS: tuple[Option, ...] = (
    *((limit.option, "", limit.kind.metavar, limit.help) for limit in (*TIMES, *RESOURCES)),
    *SURROUNDINGS,
    ("containment", "", "LEVEL", f"run it at this level at least: {', '.join(LEVELS)}"),
)


def fields(call: Invocation) -> dict[str, Any]:
    """The options' values, as fields of the request; raises ``UsageError``."""
    found: dict[str, Any] = _values(call, TIMES)
    if limits := _values(call, RESOURCES):
        found["limits"] = limits
    if call.has("no-network"):
        found["network"] = False
    if (account := call.value("run-as")) is not None:
        if not account or not account.isprintable() or len(account) > 256:
            raise UsageError(f"--run-as takes the name of an account, not {account[:80]!r}")
        found["runAs"] = account
    if (level := call.value("containment")) is not None:
        if level not in LEVELS:
            raise UsageError(f"--containment takes one of {', '.join(LEVELS)}, not {level!r}")
        found["containment"] = level
    return found


def amount(limit: Limit, text: str, called: str) -> float:
    """The number that was typed for a limit; raises ``UsageError`` with what it is ``called``."""
    try:
        value = limit.kind.parse(text)
    except ValueError as error:
        raise UsageError(f"{called}: {error}") from None
    if value not in limit.range:
        raise UsageError(f"{called} must be {limit.range}, not {text!r}")
    return value


def _values(call: Invocation, limits: Iterable[Limit]) -> dict[str, float]:
    return {
        limit.field: amount(limit, text, f"--{limit.option}")
        for limit in limits
        if (text := call.value(limit.option)) is not None
    }
