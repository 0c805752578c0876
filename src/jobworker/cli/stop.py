"""``jobctl stop``."""

from __future__ import annotations

from jobworker.cli import jobs, report, times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.client import Client

USAGE = "stop [--grace DURATION] ID..."
OPTIONS: tuple[Option, ...] = (
    ("grace", "", "DURATION", "SIGTERM first, SIGKILL after this time; otherwise SIGKILL at once"),
)


def run(call: Invocation) -> int:
    """Stop jobs; each is told once no process of it is left."""
    given = call.value("grace")
    grace = times.duration(given, "grace") if given is not None else 0.0

    def stop(client: Client, job_id: str) -> None:
        report.acted_on(call, client.stop(job_id, grace=grace), "Job with ID {} stopped.")

    return jobs.each(call, stop)
