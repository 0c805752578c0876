"""``jobctl show``."""

from __future__ import annotations

from jobworker import units
from jobworker.cli import jobs, report, table
from jobworker.cli.verbs import why
from jobworker.limits import LIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobView
    from jobworker.client.client import Client

USAGE = "show ID..."
OPTIONS: tuple[Option, ...] = ()
DETAILS = """\
Shows who started what, when, under which limits, what it has used, and why it ended, with
the evidence. status tells how a job stands in three lines, for scripts."""
EXAMPLES = (
    "jobctl show j-9f8b",
    "jobctl show web",
    "jobctl show --json j-9f8b | jq .limits",
)

_WIDTH = len("Peak memory:") + 1


def run(call: Invocation) -> int:
    """Shows all that is known of jobs."""
    shown = 0

    def show(client: Client, job_id: str) -> None:
        nonlocal shown
        job = client.status(job_id)
        if call.has("json"):
            report.answer(job)
        elif call.has("quiet"):
            report.line(job["id"])
        else:
            _print(job, apart=shown > 0)
        shown += 1

    return jobs.each(call, show)


def _print(job: JobView, *, apart: bool) -> None:
    from datetime import UTC, datetime

    if apart:
        report.line("")
    for title, text in facts(job, datetime.now(UTC)):
        report.line(f"{title + ':':<{_WIDTH}} {report.escaped(text)}")
    if job["evidence"]:
        report.line("Evidence:")
        for name, fact in job["evidence"].items():
            report.line(report.escaped(f"  {name}: {why.fact_text(name, fact)}"))


def facts(job: JobView, now: datetime) -> Iterator[tuple[str, str]]:
    """The facts for people, each with its title; what there is nothing to say of is left out."""
    yield "ID", job["id"]
    if job["name"]:
        yield "Name", job["name"]
    if job["labels"]:
        yield "Labels", ", ".join(f"{key}={value}" for key, value in job["labels"].items())
    yield "Owner", job["owner"]
    yield "Command", command(job)
    if job["input"]:
        yield "Input", _INPUTS[job["input"]]
    yield from _end(job)
    yield from _times(job, now)
    yield "Limits", _limits(job) or "none"
    yield "Runs", _surroundings(job)
    yield from _usage(job)


def command(job: JobView) -> str:
    """The program and its arguments as a shell takes them; an ellipsis for other bytes."""
    import shlex

    words = [shlex.quote(arg) if isinstance(arg, str) else "\u2026" for arg in job["args"]]
    return " ".join([shlex.quote(job["program"]), *words])


_INPUTS = {"given": "came with the start", "pipe": "a pipe", "terminal": "a terminal"}


def _end(job: JobView) -> Iterator[tuple[str, str]]:
    yield "Status", job["status"]
    if job["exitCode"] is not None:
        yield "Exit code", str(job["exitCode"])
    if job["signal"]:
        yield "Signal", job["signal"]
    if job["reason"]:
        yield "Reason", job["reason"]
    if job["cause"]:
        yield "Cause", job["cause"]


def _times(job: JobView, now: datetime) -> Iterator[tuple[str, str]]:
    moments = (("Created", "createdAt"), ("Started", "startedAt"), ("Finished", "finishedAt"))
    for title, field in moments:
        if moment := job[field]:  # type: ignore[literal-required]  # each is one
            yield title, report.to_the_second(moment)
    if (seconds := table.running_time(job, now)) is not None:
        yield "Took" if job["finishedAt"] else "Runs for", table.brief(seconds)
    if job["deadline"]:
        yield "Deadline", report.to_the_second(job["deadline"])


def _limits(job: JobView) -> str:
    limits: dict[str, float | None] = dict(job["limits"])  # type: ignore[arg-type]
    named = ((limit, limits.get(limit.field)) for limit in LIMITS)
    return ", ".join(f"{limit.option} {limit.kind.text(value)}" for limit, value in named if value)


def _surroundings(job: JobView) -> str:
    account = f" as {job['runAs']}" if job["runAs"] else ""
    network = "" if job["network"] else ", without network"
    pid = f", PID {job['pid']}" if job["pid"] is not None else ""
    return f"on {job['node']}{account}, containment {job['containment']}{network}{pid}"


def _usage(job: JobView) -> Iterator[tuple[str, str]]:
    if job["usage"] is None:
        return
    usage = job["usage"]
    yield "CPU time", table.brief(usage["cpuSeconds"])
    yield "Peak memory", units.size_text(usage["peakMemory"])
    dropped = usage["droppedBytes"]
    yield (
        "Output",
        f"{units.size_text(usage['stdoutBytes'])} of stdout, "
        f"{units.size_text(usage['stderrBytes'])} of stderr"
        + (f"; {units.size_text(dropped)} more were not kept" if dropped else ""),
    )
