"""``jobctl wait``."""

from __future__ import annotations

import sys
import time

from jobworker.cli import endings, jobs, report, times
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobView
    from jobworker.client.client import Client

USAGE = "wait [--any] [--timeout DURATION] ID..."
OPTIONS: tuple[Option, ...] = (
    ("any", "", "", "until one of them has ended, and tell of that one only"),
    ("timeout", "", "DURATION", "wait no longer than this for all of them (90, 10m, 1h30m)"),
)
DETAILS = """\
Waits until all of the jobs have ended, and prints the status of each in the order given.
Exits as the first of them, in that order, that did not end with 0; one that has not ended
in the time given counts as 124. The jobs themselves go on: only the waiting ends.
On a terminal a line on standard error tells how many have ended."""
EXITS = endings.EXITS
EXAMPLES = (
    "jobctl wait j-9f8b",
    "jobctl wait --timeout 10m j-9f8b j-07aa j-c3d1",
    "first=$(jobctl wait -q --any j-9f8b j-07aa)",
)


def run(call: Invocation) -> int:
    """Waits for jobs and exits as they did."""
    words = jobs.all_words(call)
    given = call.value("timeout")
    deadline = None if given is None else time.monotonic() + times.duration(given, "timeout")
    try:
        with call.client() as client:
            ids = list(dict.fromkeys(jobs.find(client, word) for word in words))
            return _tell(call, _ended(call, client, ids, deadline))
    except JobWorkerError as error:
        report.failure(error, call)
        return endings.SERVICE_FAILED


def _ended(
    call: Invocation, client: Client, ids: list[str], deadline: float | None
) -> Iterator[JobView]:
    """The jobs to report, in the order given."""
    from jobworker.cli.terminal import Progress
    from jobworker.cli.waiting import wait

    line = Progress(sys.stderr)

    def watch(ended: int, seconds: float) -> None:
        if seconds >= 1:  # a short wait is not worth a line
            line.show(f"{ended} of {len(ids)} ended, {int(seconds)} s")

    seen = wait(
        client,
        ids,
        deadline=deadline,
        first=call.has("any"),
        watch=watch if line.visible and not call.has("quiet") else None,
    )
    try:
        for job in seen if call.has("any") else _in_order(ids, seen):
            line.clear()
            yield job
    finally:
        line.clear()


def _in_order(ids: list[str], seen: Iterable[JobView]) -> Iterator[JobView]:
    """Each job once all before it have come."""
    early: dict[str, JobView] = {}
    left = iter(ids)
    expected = next(left)
    for job in seen:
        early[job["id"]] = job
        while expected in early:
            yield early.pop(expected)
            expected = next(left, "")


def _tell(call: Invocation, ended: Iterable[JobView]) -> int:
    codes: list[int] = []
    for job in ended:
        report.job(call, job, apart=bool(codes))
        if job["finishedAt"] is None:
            report.message(f"jobctl: job {job['id']} has not ended in the time given; it goes on")
            codes.append(endings.TIMED_OUT)
        else:
            codes.append(endings.exit_code(job))
    return next((code for code in codes if code), 0)
