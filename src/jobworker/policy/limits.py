"""The limits that a job gets: as asked, else the default, never above a ceiling. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobworker.errors import LimitTooHigh
from jobworker.limits import LIMITS, Limit
from jobworker.model import Limits

Amount = int | float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that may be asked for, and ``whose`` ceiling it is: ``role user``."""

    limits: Limits
    whose: str


def effective(asked: Limits, defaults: Limits, ceilings: Iterable[Ceiling]) -> Limits:
    """The effective limits.

    Where there is a ceiling there is a limit: without anything asked for, it is the
    ceiling, also where the default is above. Raises ``LimitTooHigh`` where more was asked.
    """
    ceilings = tuple(ceilings)
    limits: dict[str, Any] = {
        limit.name: _one(limit, asked, defaults, ceilings) for limit in LIMITS
    }
    return Limits(**limits)


def _one(
    limit: Limit, asked: Limits, defaults: Limits, ceilings: tuple[Ceiling, ...]
) -> Amount | None:
    wanted: Amount | None = getattr(asked, limit.name)
    bounds = [
        (most, one) for one in ceilings if (most := getattr(one.limits, limit.name)) is not None
    ]
    if wanted is None:
        default = getattr(defaults, limit.name)
        amounts = [most for most, _ in bounds] + ([] if default is None else [default])
        return _strictest(limit, amounts)
    for most, ceiling in bounds:
        if exceeds(limit, wanted, most):
            raise _too_high(limit, wanted, most, ceiling.whose)
    return wanted


def exceeds(limit: Limit, amount: Amount, ceiling: Amount) -> bool:
    """Whether an amount is above a ceiling, or below one that is the least."""
    return amount < ceiling if limit.ceiling_is_least else amount > ceiling


def _strictest(limit: Limit, amounts: list[Amount]) -> Amount | None:
    if not amounts:
        return None
    return max(amounts) if limit.ceiling_is_least else min(amounts)


def _too_high(limit: Limit, wanted: Amount, most: Amount, whose: str) -> LimitTooHigh:
    what = "least" if limit.ceiling_is_least else "most"
    text = limit.kind.text
    return LimitTooHigh(
        f"{limit.path} {text(wanted)} was asked for; the {what} for {whose} is {text(most)}",
        field=limit.path,
    )
