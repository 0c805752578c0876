"""``jobctl attach``."""

from __future__ import annotations

from jobworker.cli import endings, foreground, job_input, jobs, report
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "attach ID"
OPTIONS: tuple[Option, ...] = ()
DETAILS = """\
Shows all output of the job from its first byte, feeds it from here where it was started with
run -i or run -t, and exits as it does. Whoever fed it before is told that they do no more.
On a job's terminal every key goes to the program; Ctrl-P Ctrl-Q leaves it running."""
EXITS = endings.EXITS
EXAMPLES = (
    "jobctl attach j-9f8b",
    "jobctl attach j-9f8b < the-rest",
)


def run(call: Invocation) -> int:
    """Feeds a job that was started with run -i or run -t, and follows its output."""
    word = jobs.only_word(call)
    try:
        with call.client() as client:
            job = client.status(jobs.find(client, word))
            kind = job["input"]
            if kind == "terminal":
                job_input.check_terminal(call)
            return foreground.follow(call, client, job["id"], kind, takeover=True)
    except JobWorkerError as error:
        report.failure(error, call)
        return endings.SERVICE_FAILED
