"""Jobs as lines: a table for a terminal, or fields for a program that reads them.

Every cell is escaped, so that nothing in a job's name or arguments acts or forges a line.
"""

from __future__ import annotations

from jobworker.cli import terminal
from jobworker.cli.report import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobworker.client.answers import JobView

_SHORT_ID = len("j-xxxxxxxx")
_LEAST_PROGRAM = 12
"""The least columns for the program; on a terminal without room for it, lines are too long."""

_TITLES = ("ID", "STATUS", "EXIT", "OWNER", "NAME", "CREATED", "TIME", "PROGRAM")
_LESS_USEFUL = ("CREATED", "OWNER", "NAME", "TIME")
"""The columns that a narrow terminal goes without, the first one first."""

_NONE = "-"
_UNITS = (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1))


LONGEST_COMMAND = 1000
"""Columns of a command in a line for a program, where it does not want all of it."""


def fields(job: JobView, now: datetime, *, wide: bool = False) -> tuple[str, ...]:
    """The fields that a program reads: ID, status, exit code, owner, creation, program, seconds.

    A long command is cut unless ``wide``: an argument alone may have 128 KiB.
    """
    text = cell(command(job))
    code = job["exitCode"]
    took = running_time(job, now)
    return (
        job["id"],
        job["status"],
        _NONE if code is None else str(code),
        cell(job["owner"]),
        job["createdAt"][:19].replace("T", " "),
        text if wide else terminal.cut(text, LONGEST_COMMAND),
        _NONE if took is None else f"{took:.3f}",
    )


def render(jobs: Sequence[JobView], now: datetime, *, room: int, colour: bool) -> list[str]:
    """A table with a header, at most ``room`` columns wide; 0 for as wide as it gets."""
    length = _length_of_ids([job["id"] for job in jobs]) if room else None
    rows = [_TITLES, *(_row(job, now, length) for job in jobs)]
    widths = [max(terminal.width(row[column]) for row in rows) for column in range(len(_TITLES))]
    shown = [
        column
        for column, title in enumerate(_TITLES)
        if title != "NAME" or any(job.get("name") for job in jobs)
    ]
    for title in _LESS_USEFUL:
        if room and _left(room, widths, shown) < _LEAST_PROGRAM:
            shown = [column for column in shown if _TITLES[column] != title]
    lines = []
    for row, job in zip(rows, (None, *jobs), strict=True):
        cells = [padded(row[column], widths[column]) for column in shown[:-1]]
        if job and colour:
            cells[1] = terminal.coloured(cells[1], job["status"])
        last = row[-1]
        if room:
            last = terminal.cut(last, max(_LEAST_PROGRAM, _left(room, widths, shown)))
        lines.append("  ".join([*cells, last]))
    return lines


def _left(room: int, widths: Sequence[int], shown: Sequence[int]) -> int:
    """The room for the program that the columns before it leave."""
    return room - sum(widths[column] + 2 for column in shown[:-1])


def running_time(job: JobView, now: datetime) -> float | None:
    """Seconds from the program's start to its end, or to ``now``; None before its start."""
    if job["startedAt"] is None:
        return None
    end = _moment(job["finishedAt"]) if job["finishedAt"] else now
    return max(0.0, (end - _moment(job["startedAt"])).total_seconds())  # clocks may differ


def brief(seconds: float) -> str:
    """A time as people say it, in its two largest units: ``0.4s``, ``12s``, ``3m5s``, ``2d4h``."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for big, size, small, rest in _UNITS:
        if seconds >= size:
            left = int(seconds % size) // rest
            return f"{int(seconds // size)}{big}" + (f"{left}{small}" if left else "")
    return f"{int(seconds)}s"


def _row(job: JobView, now: datetime, length: int | None) -> tuple[str, ...]:
    took = running_time(job, now)
    ago = max(0, int((now - _moment(job["createdAt"])).total_seconds()))
    return (
        job["id"][:length],
        job["status"],
        _ending(job),
        cell(job["owner"]),
        cell(job.get("name") or _NONE),
        f"{brief(ago) if ago >= 60 else f'{ago}s'} ago",
        _NONE if took is None else brief(took),
        cell(command(job)),
    )


def _ending(job: JobView) -> str:
    """The exit code, or the name of the signal instead."""
    if job["exitCode"] is not None:
        return str(job["exitCode"])
    return cell((job["signal"] or _NONE).removeprefix("SIG"))


def command(job: JobView) -> str:
    """The program and its arguments; an ellipsis for one that is no text."""
    words = [job["program"], *(arg if isinstance(arg, str) else "\u2026" for arg in job["args"])]
    return " ".join(words)


def cell(text: str) -> str:
    """``text`` in one cell: nothing of it acts, ends the line or the field."""
    return escaped(text).replace("\t", "\\t")


def padded(text: str, columns: int) -> str:
    """``text`` with spaces behind it, to that width."""
    return text + " " * (columns - terminal.width(text))


def _length_of_ids(ids: Sequence[str]) -> int:
    """The number of characters that tell these IDs apart."""
    length = _SHORT_ID
    while len({job_id[:length] for job_id in ids}) < len(set(ids)):
        length += 1
    return length


def _moment(text: str) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(text)
