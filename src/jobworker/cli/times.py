"""Durations and moments as people type them."""

from __future__ import annotations

from jobworker import units
from jobworker.cli.invocation import UsageError


def duration(text: str, option: str) -> float:
    """Seconds of an option's value, ``90``, ``10s``, ``1h30m``; raises ``UsageError``."""
    try:
        return units.parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--{option}: {error}") from None


def moment(text: str) -> str:
    """The RFC 3339 text, in UTC, of a moment or of a time ago; raises ``UsageError``.

    A moment without a time zone is in the zone of this machine.
    """
    from datetime import UTC, datetime, timedelta

    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = datetime.now(UTC) - timedelta(seconds=units.parse_duration(text))
        except (ValueError, OverflowError):
            raise UsageError(
                f"{text!r} is neither a time (2026-01-31, 2026-01-31T12:00:00Z) "
                "nor a duration (10m ago is 10m)"
            ) from None
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
