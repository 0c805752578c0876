"""The limits that a job gets: as asked, else the default, never above a ceiling. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from jobworker.errors import LimitTooHigh
from jobworker.model import Limits
from jobworker.units import duration_text, size_text

Amount = int | float

NAMES = tuple(one.name for one in fields(Limits))
"""The limits, by the names of their fields in ``model.Limits``."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that may be asked for, and ``whose`` ceiling it is: ``role user``."""

    limits: Limits
    whose: str


def effective(asked: Limits, defaults: Limits, ceilings: Iterable[Ceiling]) -> Limits:
    """The limits in force.

    Where there is a ceiling there is a limit: without anything asked for, it is the
    ceiling, also where the default is above. Raises ``LimitTooHigh`` where more was asked.
    """
    ceilings = tuple(ceilings)
    limits: dict[str, Any] = {name: _one(name, asked, defaults, ceilings) for name in NAMES}
    return Limits(**limits)


def _one(
    name: str, asked: Limits, defaults: Limits, ceilings: tuple[Ceiling, ...]
) -> Amount | None:
    wanted: Amount | None = getattr(asked, name)
    bounds = [(most, one) for one in ceilings if (most := getattr(one.limits, name)) is not None]
    if wanted is None:
        default = getattr(defaults, name)
        amounts = [most for most, _ in bounds] + ([] if default is None else [default])
        return _strictest(name, amounts)
    for most, ceiling in bounds:
        if exceeds(name, wanted, most):
            raise _too_high(name, wanted, most, ceiling.whose)
    return wanted


def exceeds(name: str, amount: Amount, ceiling: Amount) -> bool:
    """Whether an amount is above a ceiling.

    ``nice`` counts the other way: the nicer a job is, the less it takes from others.
    """
    return amount < ceiling if name == "nice" else amount > ceiling


def _strictest(name: str, amounts: list[Amount]) -> Amount | None:
    if not amounts:
        return None
    return max(amounts) if name == "nice" else min(amounts)


def _too_high(name: str, wanted: Amount, most: Amount, whose: str) -> LimitTooHigh:
    field = api_name(name)
    what = "least" if name == "nice" else "most"
    return LimitTooHigh(
        f"{field} {_text(name, wanted)} was asked for; the {what} for {whose} is "
        f"{_text(name, most)}",
        field=field,
    )


def api_name(name: str) -> str:
    """The name of the limit in a request to start a job."""
    if name == "timeout":
        return name
    first, *others = name.split("_")
    return f"limits.{first}{''.join(map(str.capitalize, others))}"


def _text(name: str, amount: Amount) -> str:
    if name in _SIZES:
        return size_text(amount)
    return duration_text(amount) if name == "timeout" else f"{amount:g}"


_SIZES = frozenset({"memory", "output", "tmp"})
