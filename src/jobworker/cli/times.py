"""Durations and moments as people type them."""

from __future__ import annotations

from jobworker.cli.invocation import UsageError

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def duration(text: str) -> float:
    """Seconds of ``90``, ``1.5``, ``10s``, ``1h30m``; raises ``UsageError``."""
    seconds, number, smallest = 0.0, "", 86_401
    for character in text:
        unit = _UNITS.get(character)
        if unit is None:
            number += character
            continue
        if unit >= smallest:  # 1m1h, 1s1s
            raise _not_a_duration(text)
        seconds += _number(number, text) * unit
        number, smallest = "", unit
    if number and smallest == 86_401:
        return _number(number, text)
    if number or not text:
        raise _not_a_duration(text)
    return seconds


def _number(digits: str, text: str) -> float:
    whole, point, rest = digits.partition(".")
    if not (whole + rest).isdecimal() or not digits.isascii() or (point and not rest):
        raise _not_a_duration(text)
    return float(digits)


def _not_a_duration(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a duration; write seconds, or 10s, 10m, 1h30m, 2d")


def moment(text: str) -> str:
    """RFC 3339 in UTC of a moment, or of how long ago it was; raises ``UsageError``.

    A moment without a time zone is in this machine's.
    """
    from datetime import UTC, datetime, timedelta

    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = datetime.now(UTC) - timedelta(seconds=duration(text))
        except (UsageError, OverflowError):
            raise UsageError(
                f"{text!r} is neither a time (2026-01-31, 2026-01-31T12:00:00Z) "
                "nor a duration (10m ago is 10m)"
            ) from None
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
