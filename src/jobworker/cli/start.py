"""``jobctl start``."""

from __future__ import annotations

from jobworker.cli import program, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation

USAGE = "start [OPTIONS] [--] PROGRAM [ARGUMENT...]"
OPTIONS = program.OPTIONS
PROGRAM_FOLLOWS = True
EXAMPLES = (
    "jobctl start -- /bin/sleep 60",
    "jobctl start --name nightly --timeout 2h --memory 1G -- /srv/nightly",
)


def run(call: Invocation) -> int:
    """Start a program as a job and say its ID."""
    order = program.Order(call)
    with call.client() as client:
        report.acted_on(call, order.start(client), "Job started with ID {}.")
    return 0
