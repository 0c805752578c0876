"""Moments as datetimes, as text and as whole numbers since 1970. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def time_text(moment: datetime) -> str:
    """A moment in UTC as the API writes it: ``2026-01-31T12:00:00Z`` (RFC 3339)."""
    return moment.isoformat().replace("+00:00", "Z")


def microseconds(moment: datetime) -> int:
    """Microseconds from 1970 to ``moment``; raises ``TypeError`` where it has no time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """The moment that many microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=number)


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds from 1970 to ``moment``; raises ``TypeError`` where it has no time zone."""
    return microseconds(moment) * 1000


def from_nanoseconds(number: int) -> datetime:
    """The last whole microsecond that many nanoseconds after 1970, in UTC."""
    return from_microseconds(number // 1000)
