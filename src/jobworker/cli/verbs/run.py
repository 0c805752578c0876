"""``jobctl run``."""

from __future__ import annotations

import os

from jobworker.cli import endings, foreground, job_input, program, report
from jobworker.cli.invocation import UsageError
from jobworker.cli.verbs import start
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "run [OPTIONS] [--] PROGRAM [ARGUMENT...]"
OPTIONS: tuple[Option, ...] = (
    ("detach", "d", "", "do not wait: the same as start"),
    *job_input.OPTIONS,
    ("stop-on-interrupt", "", "", "Ctrl-C stops the job, and asks nothing"),
    *program.OPTIONS,
)
PROGRAM_FOLLOWS = True
EXITS = endings.EXITS
EXAMPLES = (
    "jobctl run -- /bin/echo hello",
    "jobctl run -i -- /usr/bin/sort < names.txt",
    "jobctl run -t -- /usr/bin/python3",
    "jobctl run --memory 512M --timeout 10m --grace 10s -- /usr/bin/make -C /srv/project",
)


def run(call: Invocation) -> int:
    """Runs a program as a job in the foreground: its output here, its exit code ours."""
    kind = job_input.wanted(call)
    if call.has("detach"):
        if kind:
            raise UsageError("-d does not wait, so nobody would feed the job: leave out -i and -t")
        return start.run(call)
    order = program.Order(call)
    order.options |= job_input.fields(kind)
    if kind == "terminal" and (name := os.environ.get("TERM")):
        order.options["env"] = {"TERM": name, **order.options.get("env", {})}
    try:
        with call.client() as client:
            answer = order.start(client)
            if advice := answer.get("hint"):
                report.hint(call, advice)
            return foreground.follow(call, client, answer["id"], kind)
    except JobWorkerError as error:
        report.failure(error, call)
        return endings.of_refusal(error.code)
