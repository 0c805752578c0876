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
DETAILS = """\
Stops the jobs one after the other, each with all of its processes. Goes on where one cannot
be stopped, and exits with 1 then."""
EXAMPLES = (
    "jobctl stop j-9f8b",
    "jobctl stop --grace 10s j-9f8b j-07aa",
    "jobctl list -q --label team=web --status Running | xargs -r jobctl stop",
)


def run(call: Invocation) -> int:
    """Stops jobs; each is reported once no process of it is left."""
    given = call.value("grace")
    grace = times.duration(given, "grace") if given is not None else 0.0

    def stop(client: Client, job_id: str) -> None:
        report.acted_on(call, client.stop(job_id, grace=grace), "Job with ID {} stopped.")

    return jobs.each(call, stop)
