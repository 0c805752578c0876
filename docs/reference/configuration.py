"""The rows of limits in configuration.md, made from the table of limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jobworker.limits import BYTES, COUNT, CPUS, LIMITS, Limit

_ROWS = re.compile(r"(?:^\| `[a-z-]+` \|[^\n]*\n)+", re.MULTILINE)
"""The rows of a table, without its head."""

_UNITS = {1024**4: "T", 1024**3: "G", 1024**2: "M", 1024: "K"}


def configuration(page: str) -> str:
    """The page with the rows of limits as the table has them; the rest of it stays."""
    page = _with_rows(page, "`[limits.user]` and `[limits.admin]`", of_roles(page))
    return _with_rows(page, "`[total]`", of_all_jobs())


def of_roles(page: str) -> Iterator[str]:
    """A row for each limit, and the one that stands after them: it is no limit."""
    for limit in LIMITS:
        yield f"| `{limit.option}` | {unit(limit)} | {default(limit)} | {limit.reference} |"
    yield from re.findall(r"^\| `on-output-limit` \|.*", page, re.MULTILINE)[:1]


def of_all_jobs() -> Iterator[str]:
    """A row for each limit that may bound all jobs together."""
    for limit in LIMITS:
        if limit.total:
            most = _TOTAL.get(limit.name, "no limit")
            yield f"| `{limit.option}` | {_kind_in_total(limit)} | {most} |"


_TOTAL = {"memory": "half of the machine's, or of what the server may have"}
"""The default of a limit of all jobs together, where that is not none: see ``policy.defaults``."""


def _kind_in_total(limit: Limit) -> str:
    return f'{kind(limit)}, or `"none"`' if limit.name in _TOTAL else kind(limit)


def kind(limit: Limit) -> str:
    """What is counted."""
    return {BYTES: "size", CPUS: "CPUs", COUNT: "number"}.get(limit.kind, "duration")


def unit(limit: Limit) -> str:
    """What is counted, and the bounds that a reader may run into."""
    if limit.kind is BYTES:
        return kind(limit)
    if limit.kind in (CPUS, COUNT):
        return f"{kind(limit)}, {limit.range.least_text} to {limit.range.most_text}"
    return f"{kind(limit)}, up to {limit.range.most_text}"


def default(limit: Limit) -> str:
    """What holds for a job where neither the file nor the request says anything."""
    if limit.default is None:
        return limit.unlimited
    if limit.kind is BYTES:
        return f'`"{size(int(limit.default))}"`'
    return f"`{limit.default:g}`"


def size(number: int) -> str:
    """Bytes as the file has them, like ``1G``."""
    for factor, letter in _UNITS.items():
        if number % factor == 0:
            return f"{number // factor}{letter}"
    return str(number)


def _with_rows(page: str, heading: str, rows: Iterable[str]) -> str:
    before, found, section = page.partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"configuration.md has no section {heading}")
    text = "".join(f"{row}\n" for row in rows)
    return before + found + _ROWS.sub(lambda _: text, section, count=1)
