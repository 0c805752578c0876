"""``jobctl list``."""

from __future__ import annotations

import sys

from jobworker.cli import report, table, times
from jobworker.cli.invocation import UsageError, no_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

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
    ("sort", "", "COLUMN", "by a column, ascending; otherwise the newest first"),
    ("reverse", "r", "", "the other way round: without --sort the oldest first"),
    ("output", "o", "COLUMNS", "these columns, with a comma between: id,name,status"),
    ("watch", "w", "", "keep it up to date, until Ctrl-C; elsewhere a line for each change"),
    ("wide", "", "", "whole IDs and commands, though lines may be too long"),
)
DETAILS = """\
On a terminal a table that fits it, with IDs as long as it takes to tell them apart.
Elsewhere one line a job, with a tab between: ID, status, exit code, owner, time of its
creation (UTC), program and arguments (the first 1000 characters), running time in
seconds; - where there is none.

The columns of -o and --sort: id, name, labels, owner, status, exit, signal, cause, reason,
created, started, finished, deadline, time, cpu, memory, pid, node, containment, program,
command. In a pipe -o prints exact numbers: seconds, bytes. What is sorted is what is
listed: with --sort and more jobs than --limit, the newest."""
EXAMPLES = (
    "jobctl list --status Running",
    "jobctl list -w",
    "jobctl list -o id,name,exit,reason --status Failed",
    "jobctl list --sort memory -r",
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
    form = _Form(call)
    with call.client() as client:
        if call.has("watch"):
            return _watch(call, form, lambda: _collect(client, query, limit))
        found = _collect(client, query, limit)
    found["jobs"] = form.in_order(found["jobs"])
    if call.has("json"):
        report.answer(found)
        return 0
    form.print(found["jobs"])
    if found["next"]:
        report.message("There are more jobs; see them with --all or a higher --limit.")
    return 0


def _watch(call: Invocation, form: _Form, collect: Callable[[], JobList]) -> int:
    from jobworker.cli import terminal, watch

    def look() -> list[JobView]:
        return form.in_order(collect()["jobs"])

    try:
        if terminal.can_redraw(sys.stdout) and not (call.has("json") or call.has("quiet")):
            watch.redraw(lambda size: form.table(look(), size.columns))
        watch.print_changes(look, report.answer if call.has("json") else form.line)
    except KeyboardInterrupt:
        return 0  # the way to end it


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


class _Form:
    """The order and the form of a list, as the call wants them; raises ``UsageError``."""

    def __init__(self, call: Invocation) -> None:
        self._quiet = call.has("quiet")
        self._wide = call.has("wide")
        self._reverse = call.has("reverse")
        self._sort = call.value("sort")
        self._columns: list[str] | None = None
        chosen = call.value("output")
        if chosen is not None or self._sort is not None:
            from jobworker.cli import columns

            self._columns = None if chosen is None else columns.named(chosen)
            if self._sort is not None and self._sort not in columns.COLUMNS:
                columns.named(self._sort)
                raise UsageError(f"--sort takes one column, not {self._sort!r}")

    def in_order(self, jobs: list[JobView]) -> list[JobView]:
        """The jobs in the order that was asked for."""
        if self._sort is not None:
            from jobworker.cli import columns

            jobs = columns.in_order(jobs, self._sort, _now())
        return jobs[::-1] if self._reverse else jobs

    def print(self, jobs: list[JobView]) -> None:
        """Prints a table with a header on a terminal; elsewhere fields with a tab between."""
        if self._quiet or not sys.stdout.isatty():
            for job in jobs:
                self.line(job)
            return
        import shutil

        for line in self.table(jobs, shutil.get_terminal_size().columns):
            sys.stdout.write(line + "\n")  # the cells are escaped, the colours are ours

    def line(self, job: JobView) -> None:
        """Prints a job for a program."""
        if self._quiet:
            report.line(job["id"])
        elif self._columns is None:
            report.line("\t".join(table.fields(job, _now(), wide=self._wide)))
        else:
            from jobworker.cli import columns

            report.line("\t".join(columns.fields(job, self._columns, _now(), wide=self._wide)))

    def table(self, jobs: list[JobView], room: int) -> list[str]:
        """The lines of the table, at most ``room`` columns wide where it is not to be wide."""
        from jobworker.cli import terminal

        room = 0 if self._wide else room
        if self._columns is None:
            colour = terminal.has_colour(sys.stdout)
            return table.render(jobs, _now(), room=room, colour=colour)
        from jobworker.cli import columns

        return columns.render(jobs, self._columns, _now(), room)


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)
