from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker.errors import LimitTooHigh
from jobworker.limits import LIMITS
from jobworker.model import Limits
from jobworker.policy.limits import Ceiling, effective, exceeds

GIB = 1024**3
USER = Ceiling(Limits(memory=4 * GIB, timeout=86_400.0, nice=5), "role user")
RULE = Ceiling(Limits(memory=2 * GIB), "rule reports")


@pytest.mark.parametrize(
    ("asked", "defaults", "ceilings", "expected"),
    [
        (Limits(), Limits(), [], Limits()),
        (Limits(), Limits(output=GIB), [], Limits(output=GIB)),
        (Limits(output=2 * GIB), Limits(output=GIB), [], Limits(output=2 * GIB)),
        (Limits(memory=GIB, nice=9), Limits(), [USER], Limits(memory=GIB, timeout=86_400, nice=9)),
        # A ceiling is a limit where nothing is asked for, the lowest of several
        (Limits(), Limits(), [USER], Limits(memory=4 * GIB, timeout=86_400.0, nice=5)),
        (Limits(), Limits(), [USER, RULE], Limits(memory=2 * GIB, timeout=86_400.0, nice=5)),
        # A default above the ceiling of a rule is lowered: nobody has asked for it
        (Limits(), Limits(memory=3 * GIB), [RULE], Limits(memory=2 * GIB)),
        (Limits(), Limits(memory=GIB), [RULE], Limits(memory=GIB)),
        # As much as the ceiling is not more
        (Limits(memory=2 * GIB), Limits(), [RULE], Limits(memory=2 * GIB)),
        # Nice counts the other way
        (Limits(), Limits(nice=10), [Ceiling(Limits(nice=5), "x")], Limits(nice=10)),
        (Limits(), Limits(nice=1), [Ceiling(Limits(nice=5), "x")], Limits(nice=5)),
    ],
)
def test_limits_in_force(
    asked: Limits, defaults: Limits, ceilings: list[Ceiling], expected: Limits
) -> None:
    assert effective(asked, defaults, ceilings) == expected


@pytest.mark.parametrize(
    ("asked", "field", "sentence"),
    [
        (
            Limits(memory=3 * GIB),
            "limits.memory",
            "limits.memory 3 GiB was asked for; the most for rule reports is 2 GiB",
        ),
        (
            Limits(memory=8 * GIB),
            "limits.memory",
            "limits.memory 8 GiB was asked for; the most for role user is 4 GiB",
        ),
        (
            Limits(timeout=90_000),
            "timeout",
            "timeout 1d1h was asked for; the most for role user is 1d",
        ),
        (
            Limits(nice=0),
            "limits.nice",
            "limits.nice 0 was asked for; the least for role user is 5",
        ),
    ],
)
def test_more_than_a_ceiling_is_refused(asked: Limits, field: str, sentence: str) -> None:
    with pytest.raises(LimitTooHigh) as refused:
        effective(asked, Limits(), [USER, RULE])
    assert (refused.value.field, str(refused.value)) == (field, sentence)


amounts = st.none() | st.integers(1, 19)
some_limits = st.builds(Limits, **{limit.name: amounts for limit in LIMITS})


@given(some_limits, some_limits, st.lists(some_limits, max_size=3))
def test_nothing_in_force_is_above_a_ceiling(
    asked: Limits, defaults: Limits, ceilings: list[Limits]
) -> None:
    try:
        found = effective(asked, defaults, [Ceiling(limits, "x") for limits in ceilings])
    except LimitTooHigh:
        return
    for limit in LIMITS:
        in_force = getattr(found, limit.name)
        if getattr(asked, limit.name) is not None:
            assert in_force == getattr(asked, limit.name)
        for ceiling in ceilings:
            most = getattr(ceiling, limit.name)
            assert most is None or (in_force is not None and not exceeds(limit, in_force, most))
