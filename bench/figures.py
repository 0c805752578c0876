"""What was measured, beside what was to be reached, as one table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEAD = ("what", "measured", "lowest to highest", "target", "reached")


@dataclass(frozen=True)
class Figure:
    """One row: the median of ``rounds`` is what counts, in ``unit``.

    ``at_most`` and ``at_least`` are the target, where there is one.
    """

    what: str
    rounds: Sequence[float]
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.rounds)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        spread = f"{_number(min(self.rounds))} to {_number(max(self.rounds))}"
        return (
            self.what,
            f"{_number(self.median)} {self.unit}".strip(),
            spread if len(self.rounds) > 1 else "",
            self._target(),
            {True: "yes", False: "NO", None: ""}[self.reached],
        )

    def _target(self) -> str:
        if self.at_most is not None:
            return f"at most {_number(self.at_most)} {self.unit}".strip()
        if self.at_least is not None:
            return f"at least {_number(self.at_least)} {self.unit}".strip()
        return ""


def table(figures: Iterable[Figure]) -> str:
    """A Markdown table, aligned so that it reads well as plain text, too."""
    rows = [_HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"| {line} |\n" for line in lines)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _number(value: float) -> str:
    """Three digits that count, and all that stand before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
