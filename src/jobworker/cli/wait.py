"""``jobctl wait``."""

from __future__ import annotations

import time

from jobworker.cli import endings, jobs, report, times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobView
    from jobworker.client.client import Client

USAGE = "wait [--timeout DURATION] ID..."
OPTIONS: tuple[Option, ...] = (
    ("timeout", "", "DURATION", "wait no longer than this for all of them; then exit with 124"),
)


def run(call: Invocation) -> int:
    """Wait for jobs and exit as the first of them did that did not succeed."""
    words = jobs.all_words(call)
    given = call.value("timeout")
    deadline = None if given is None else time.monotonic() + times.duration(given, "timeout")
    with call.client() as client:
        ids = [jobs.find(client, word) for word in words]
        codes = [_wait(call, client, job_id, deadline) for job_id in ids]
    return next((code for code in codes if code), 0)


def _wait(call: Invocation, client: Client, job_id: str, deadline: float | None) -> int:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    job: JobView = client.wait(job_id, left)
    report.job(call, job)
    if job["finishedAt"] is None:
        report.message(f"jobctl: job {job_id} has not ended in the time given; it goes on")
        return endings.TIMED_OUT
    return endings.exit_code(job)
