"""``jobctl extend``."""

from __future__ import annotations

from jobworker.cli import jobs, limits, report
from jobworker.cli.invocation import UsageError
from jobworker.limits import TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "extend ID DURATION"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl extend j-9f8b 30m", "jobctl extend --json j-9f8b 1h30m | jq -r .deadline")


def run(call: Invocation) -> int:
    """Moves the deadline of a running job."""
    if len(call.words) != 2:
        raise UsageError("name a job and how much longer it may run: jobctl extend ID 30m")
    word, given = call.words
    jobs.check(word)
    seconds = limits.amount(TIMEOUT, given, called="DURATION")
    with call.client() as client:
        answer = client.extend(jobs.find(client, word), seconds)
    if call.has("json"):
        report.answer(answer)
    elif call.has("quiet"):
        report.line(answer["id"])
    else:
        until = report.to_the_second(answer["deadline"])
        report.line(f"Job with ID {answer['id']} may run until {until}.")
    return 0
