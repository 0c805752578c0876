"""``jobctl rerun``."""

from __future__ import annotations

from jobworker.cli import jobs, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "rerun ID"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl rerun j-9f8b", "id=$(jobctl rerun -q j-9f8b)")


def run(call: Invocation) -> int:
    """Starts a new job as another was started, and says its ID."""
    word = jobs.only_word(call)
    with call.client() as client:
        answer = client.rerun(jobs.find(client, word))
    report.acted_on(call, answer, "Job started with ID {}.")
    return 0
