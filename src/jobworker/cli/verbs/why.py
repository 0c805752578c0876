"""``jobctl why``."""

from __future__ import annotations

from jobworker import units
from jobworker.cli import jobs, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobView

USAGE = "why ID"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl why j-9f8b", "jobctl why -q j-9f8b")

_SIZES = ("Limit", "Peak", "Bytes")
_SIZED = ("memory", "swap", "output", "stdout", "stderr", "dropped", "tmp")
_DURATIONS = ("timeout", "grace")


def run(call: Invocation) -> int:
    """Tells the one cause of a job's end, and the evidence for it."""
    word = jobs.only_word(call)
    with call.client() as client:
        job = client.status(jobs.find(client, word))
    if call.has("json"):
        report.answer(job)
    elif job["cause"] is None:
        _not_ended(call, job)
    elif call.has("quiet"):
        report.line(job["cause"])
    else:
        _explain(job, job["cause"])
    return 0


def _not_ended(call: Invocation, job: JobView) -> None:
    if not call.has("quiet"):
        report.line(f"Status: {job['status']}")
        report.deadline(job)
    report.message(f"jobctl: job {job['id']} has not ended")


def _explain(job: JobView, cause: str) -> None:
    report.line(f"Cause: {cause}")
    report.line(f"Reason: {job['reason'] or 'exited with code 0'}")
    if job["evidence"]:
        report.line("Evidence:")
        for name, fact in job["evidence"].items():
            report.line(report.escaped(f"  {name}: {fact_text(name, fact)}"))


def fact_text(name: str, fact: str | float) -> str:
    """A piece of evidence for people; sizes and durations also as the number they are."""
    if isinstance(fact, str):
        return fact
    number = f"{fact:.15g}" if isinstance(fact, float) else str(fact)
    if name in _DURATIONS or name.endswith("Seconds"):
        return f"{units.duration_text(fact)} ({number})"
    if name.startswith(_SIZED) and name.endswith(_SIZES):
        return f"{units.size_text(fact)} ({number})"
    return number
