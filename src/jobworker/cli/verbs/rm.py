"""``jobctl rm``."""

from __future__ import annotations

from jobworker.cli import jobs, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.client import Client

USAGE = "rm ID..."
OPTIONS: tuple[Option, ...] = ()
DETAILS = """\
Goes on where one cannot be removed, as it still runs for one, and exits with 1 then."""
EXAMPLES = (
    "jobctl rm j-9f8b j-07aa",
    "jobctl list -q --all --status Completed --until 30d | xargs -r jobctl rm",
)


def run(call: Invocation) -> int:
    """Removes jobs that have ended."""

    def remove(client: Client, job_id: str) -> None:
        report.acted_on(call, client.remove(job_id), "Job with ID {} removed.")

    return jobs.each(call, remove)
