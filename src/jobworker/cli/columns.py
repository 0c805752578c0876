"""The columns that a list may have, by name: for ``list -o`` and ``list --sort``."""

from __future__ import annotations

from jobworker import units
from jobworker.cli import table, terminal
from jobworker.cli.invocation import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from jobworker.client.answers import JobView

    Fact = str | float | None


def _moment(field: str) -> Callable[[JobView, datetime], Fact]:
    return lambda job, _: job[field]  # type: ignore[literal-required]  # one of its times


def _labels(job: JobView, _: datetime) -> Fact:
    return ",".join(f"{key}={value}" for key, value in sorted(job["labels"].items()))


def _used(field: str) -> Callable[[JobView, datetime], Fact]:
    def used(job: JobView, _: datetime) -> Fact:
        return job["usage"] and job["usage"][field]  # type: ignore[literal-required]  # a number

    return used


COLUMNS: dict[str, Callable[[JobView, datetime], Fact]] = {
    "id": lambda job, _: job["id"],
    "name": lambda job, _: job["name"],
    "labels": _labels,
    "owner": lambda job, _: job["owner"],
    "status": lambda job, _: job["status"],
    "exit": lambda job, _: job["exitCode"],
    "signal": lambda job, _: job["signal"],
    "cause": lambda job, _: job["cause"],
    "reason": lambda job, _: job["reason"],
    "created": _moment("createdAt"),
    "started": _moment("startedAt"),
    "finished": _moment("finishedAt"),
    "deadline": _moment("deadline"),
    "time": table.running_time,
    "cpu": _used("cpuSeconds"),
    "memory": _used("peakMemory"),
    "pid": lambda job, _: job["pid"],
    "node": lambda job, _: job["node"],
    "containment": lambda job, _: job["containment"],
    "program": lambda job, _: job["program"],
    "command": lambda job, _: table.command(job),
}
"""The fact of a job that each shows: text, a number, or None where there is nothing."""

_TIMES = ("created", "started", "finished", "deadline")
_DURATIONS = ("time", "cpu")


def named(text: str) -> list[str]:
    """The columns of ``id,status``; raises ``UsageError``."""
    names = text.split(",")
    for name in names:
        if name not in COLUMNS:
            raise UsageError(f"there is no column {name!r}; there are {', '.join(COLUMNS)}")
    return names


def in_order(jobs: Sequence[JobView], column: str, now: datetime) -> list[JobView]:
    """The jobs by a column, ascending; those that have nothing there come last."""

    def key(job: JobView) -> tuple[bool, Fact]:
        fact = COLUMNS[column](job, now)
        return fact is None, 0 if fact is None else fact

    return sorted(jobs, key=key)


def fields(
    job: JobView, names: Sequence[str], now: datetime, *, wide: bool = False
) -> Iterator[str]:
    """The fields that a program reads: exact numbers, - where there is nothing.

    Long ones are cut unless ``wide``.
    """
    for name in names:
        fact = COLUMNS[name](job, now)
        if isinstance(fact, float):
            yield f"{fact:.3f}"
        else:
            text = table.cell("-" if fact in (None, "") else str(fact))
            yield text if wide else terminal.cut(text, table.LONGEST_COMMAND)


def render(jobs: Sequence[JobView], names: Sequence[str], now: datetime, room: int) -> list[str]:
    """A table for people with a header, at most ``room`` columns wide; 0 for as it gets."""
    rows = [[name.upper() for name in names], *([*_cells(job, names, now)] for job in jobs)]
    widths = [max(terminal.width(row[column]) for row in rows) for column in range(len(names))]
    lines = []
    for row in rows:
        padded = [table.padded(text, width) for text, width in zip(row, widths, strict=True)]
        line = "  ".join(padded).rstrip()
        lines.append(terminal.cut(line, room) if room else line)
    return lines


def _cells(job: JobView, names: Sequence[str], now: datetime) -> Iterator[str]:
    for name in names:
        fact = COLUMNS[name](job, now)
        if fact is None or fact == "":
            yield "-"
        elif name in _TIMES:
            yield str(fact)[:19].replace("T", " ")
        elif name in _DURATIONS:
            yield table.brief(float(fact))
        elif name == "memory":
            yield units.size_text(float(fact))
        else:
            yield table.cell(str(fact))
