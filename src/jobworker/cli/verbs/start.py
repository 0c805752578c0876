"""``jobctl start``."""

from __future__ import annotations

import sys

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
    "id=$(jobctl start -q --label team=web -- /usr/bin/make -C /srv/project)",
)


def run(call: Invocation) -> int:
    """Starts a program as a job and says its ID."""
    order = program.Order(call)
    with call.client() as client:
        answer = order.start(client)
        report.acted_on(call, answer, "Job started with ID {}.")
        _say_what_is_next(call, answer["id"])
    return 0


def _say_what_is_next(call: Invocation, job_id: str) -> None:
    """Tells a person, and no script, how to see what the job does."""
    if sys.stderr.isatty() and not call.has("json") and not call.has("quiet"):
        user = call.value("user")
        profile = f" -u {user}" if user else ""
        short = job_id[: len("j-xxxxxxxx")]
        report.message(f"follow it with: jobctl{profile} output -f {short}")
