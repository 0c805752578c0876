"""Moments as text and as whole numbers: exact, and the same there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobworker.model import (
    from_microseconds,
    from_nanoseconds,
    microseconds,
    nanoseconds,
    time_text,
)

LATE = datetime(2262, 4, 11, 23, 47, 16, 854775, UTC)
"""A float of seconds would be off by hundreds of nanoseconds."""


@pytest.mark.parametrize("moment", [datetime(1969, 12, 31, 23, 59, 59, 1, UTC), LATE])
def test_numbers_are_exact(moment: datetime) -> None:
    assert from_microseconds(microseconds(moment)) == moment
    assert from_nanoseconds(nanoseconds(moment) + 999) == moment


def test_zones_do_not_matter_to_numbers() -> None:
    assert microseconds(LATE.astimezone(timezone(timedelta(hours=5)))) == microseconds(LATE)


def test_a_moment_without_a_zone_has_no_number() -> None:
    with pytest.raises(TypeError):
        microseconds(LATE.replace(tzinfo=None))


def test_text_is_rfc_3339_in_utc() -> None:
    assert time_text(datetime(2026, 1, 31, 12, 0, 0, 5000, UTC)) == "2026-01-31T12:00:00.005000Z"
