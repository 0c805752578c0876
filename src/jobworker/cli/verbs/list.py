"""``jobctl list``."""

from __future__ import annotations

import sys

from jobworker.cli import report, table, times
from jobworker.cli.invocation import UsageError, no_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobList, JobView
    from jobworker.client.client import Client

USAGE = "list [OPTIONS]"
OPTIONS: tuple[Option, ...] = (
    ("status", "", "STATUS", "Queued, Running, Completed, Failed or Stopped"),
    ("owner", "", "NAME", "jobs of this user; an admin sees anybody's, others their own"),
    ("label", "", "KEY=VALUE", "jobs with this label (repeatable)"),
    ("program", "", "PATH", "jobs of this program"),
    ("name", "", "NAME", "jobs of this name"),
    ("since", "", "TIME", "started at this time or later (2026-01-31T12:00:00Z, or 10m ago: 10m)"),
    ("until", "", "TIME", "started before this time"),
    ("limit", "", "N", "no more than this many; otherwise 100"),
    ("all", "", "", "as many as there are"),
    ("wide", "", "", "on a terminal: whole IDs and commands, though lines may be too long"),
)
DETAILS = """\
On a terminal a table that fits it, with IDs as long as it takes to tell them apart.
Elsewhere one line a job, with a tab between: ID, status, exit code, owner, time of its
creation (UTC), program and arguments, running time in seconds; - where there is none."""
EXAMPLES = (
    "jobctl list --status Running",
    "jobctl list --label team=web --since 1d --all",
    "jobctl list -q --status Running | xargs -r jobctl stop",
)

STATUSES = ("Queued", "Running", "Completed", "Failed", "Stopped")
DEFAULT_LIMIT = 100
_PAGE = 1000
"""The most jobs that one answer holds, as the server has it."""


def run(call: Invocation) -> int:
    """Lists jobs, newest first."""
    no_words(call)
    query = _query(call)
    limit = None if call.has("all") else _limit(call)
    with call.client() as client:
        found = _collect(client, query, limit)
    if call.has("json"):
        report.answer(found)
        return 0
    if call.has("quiet"):
        for job in found["jobs"]:
            report.line(job["id"])
    else:
        _print(found["jobs"], wide=call.has("wide"))
    if found["next"]:
        report.message("There are more jobs; see them with --all or a higher --limit.")
    return 0


def _limit(call: Invocation) -> int:
    text = call.value("limit") or str(DEFAULT_LIMIT)
    if not text.isdecimal() or not text.isascii() or int(text) == 0:
        raise UsageError(f"--limit takes a whole number from 1 on, not {text!r}")
    return int(text)


def _query(call: Invocation) -> list[tuple[str, str]]:
    query = [
        (option, value)
        for option in ("owner", "program", "name", "label")
        for value in call.values(option)
    ]
    for label in call.values("label"):
        if "=" not in label:
            raise UsageError(f"--label takes KEY=VALUE, not {label!r}")
    query += [
        (option, times.moment(value))
        for option in ("since", "until")
        if (value := call.value(option)) is not None
    ]
    status = call.value("status")
    if status is not None:
        if status.capitalize() not in STATUSES:
            raise UsageError(f"--status takes one of {', '.join(STATUSES)}, not {status!r}")
        query.append(("status", status.capitalize()))
    return query


def _collect(client: Client, query: list[tuple[str, str]], limit: int | None) -> JobList:
    """All pages up to ``limit`` jobs, as one list."""
    jobs: list[JobView] = []
    cursor: list[tuple[str, str]] = []
    while True:
        size = _PAGE if limit is None else min(_PAGE, limit - len(jobs))
        page = client.list([*query, ("limit", str(size)), *cursor])
        jobs += page["jobs"]
        if page["next"] is None or (limit is not None and len(jobs) >= limit):
            return {"jobs": jobs, "next": page["next"], "error": None}
        cursor = [("cursor", page["next"])]


def _print(jobs: list[JobView], *, wide: bool) -> None:
    """Prints a table with a header on a terminal; elsewhere columns with a tab between."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    if not sys.stdout.isatty():
        for job in jobs:
            report.line("\t".join(table.fields(job, now)))
        return
    import shutil

    from jobworker.cli import terminal

    room = 0 if wide else shutil.get_terminal_size().columns
    colour = terminal.has_colour(sys.stdout)
    for line in table.render(jobs, now, room=room, colour=colour):
        sys.stdout.write(line + "\n")  # the cells are escaped, the colours are ours
