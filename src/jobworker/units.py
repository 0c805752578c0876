"""Sizes and durations as people write them, and back.

``jobctl`` uses it on its way to a server and ``jobd`` for its settings, so that ``512M``
and ``1h30m`` mean the same everywhere. It imports nothing, as ``jobctl`` would pay for that.
"""

from __future__ import annotations

_SIZE_UNITS = {letter: 1024**power for power, letter in enumerate("KMGT", 1)}
_TIME_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST = 40
"""The most characters of a number: no sensible one has more digits."""


def parse_size(text: str) -> int:
    """Bytes of ``65536``, ``512M``, ``1.5G``, ``64 MiB``; raises ``ValueError``.

    Units are powers of 1024. A fraction of a byte is dropped.
    """
    number, unit = text, 1
    for letter, bytes_of_it in _SIZE_UNITS.items():
        for ending in (f"{letter}IB", letter):
            if text.isascii() and text.upper().endswith(ending):
                number, unit = text[: -len(ending)].removesuffix(" "), bytes_of_it
    whole, point, rest = number.partition(".")
    if not _is_number(number) or (point and unit == 1):
        raise ValueError(f"{text!r} is not a size; write bytes, or 512K, 512M, 1.5G, 2T")
    return int(whole + rest) * unit // int("1" + "0" * len(rest))


def size_text(size: float) -> str:
    """A number of bytes as people say it: ``64 MiB``, ``1.5 GiB``, ``100 bytes``."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``1.5``, ``10s``, ``1h30m``; raises ``ValueError``."""
    seconds, number, smallest = 0.0, "", 86_401
    for character in text:
        unit = _TIME_UNITS.get(character)
        if unit is None:
            number += character
        elif unit < smallest and _is_number(number):
            seconds += float(number) * unit
            number, smallest = "", unit
        else:  # 1m1h, 1s1s, xs
            raise _not_a_duration(text)
    if smallest == 86_401 and _is_number(number):
        return float(number)
    if number or not text:
        raise _not_a_duration(text)
    return seconds


def duration_text(seconds: float) -> str:
    """Seconds as ``parse_duration`` reads them: ``90`` is ``1m30s``, ``0.5`` is ``0.5s``."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:.10g}s"
    parts, left = [], int(seconds)
    for letter, unit in _TIME_UNITS.items():
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts)


def _is_number(text: str) -> bool:
    """Whether it is ASCII digits, with or without a fraction, but no sign or exponent."""
    whole, point, rest = text.partition(".")
    digits = (whole + rest).isdecimal() and text.isascii() and len(text) <= _LONGEST
    return digits and bool(rest or not point)


def _not_a_duration(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a duration; write seconds, or 10s, 10m, 1h30m, 2d")
