"""``jobctl status``."""

from __future__ import annotations

from jobworker.cli import jobs, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "status ID"
OPTIONS: tuple[Option, ...] = ()


def run(call: Invocation) -> int:
    """Show what is known of one job."""
    word = jobs.only_word(call)
    with call.client() as client:
        report.job(call, client.status(jobs.find(client, word)))
    return 0
