"""``jobctl status``."""

from __future__ import annotations

from jobworker.cli import jobs, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.client import Client

USAGE = "status ID..."
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = (
    "jobctl status j-9f8b",
    "jobctl status --json j-9f8b | jq .usage",
)


def run(call: Invocation) -> int:
    """Shows the status of jobs."""
    shown = 0

    def show(client: Client, job_id: str) -> None:
        nonlocal shown
        report.job(call, client.status(job_id), apart=shown > 0)
        shown += 1

    return jobs.each(call, show)
