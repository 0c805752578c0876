"""``jobctl signal``."""

from __future__ import annotations

from jobworker import signals
from jobworker.cli import jobs, report
from jobworker.cli.invocation import UsageError
from jobworker.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "signal ID SIGNAL"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl signal j-9f8b HUP", "jobctl signal j-9f8b SIGUSR1")


def run(call: Invocation) -> int:
    """Sends a signal to a job's program, and not to that program's children."""
    if len(call.words) != 2:
        raise UsageError("name a job and a signal: jobctl signal ID HUP")
    word, signal = call.words
    jobs.check(word)
    try:
        signals.number_of(signal)
    except InvalidRequest as error:
        raise UsageError(f"{error}; {error.hint}") from None
    with call.client() as client:
        answer = client.signal(jobs.find(client, word), signal)
    if call.has("json"):
        report.answer(answer)
    elif call.has("quiet"):
        report.line(answer["id"])
    else:
        report.line(f"Signal {answer['signal']} sent to job with ID {answer['id']}.")
    return 0
