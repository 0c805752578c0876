"""``jobctl output``."""

from __future__ import annotations

from jobworker.cli import jobs, missing, report
from jobworker.cli.invocation import UsageError
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import OutputAnswer
    from jobworker.client.client import Client
    from jobworker.client.frames import StreamName

USAGE = "output [OPTIONS] ID"
OPTIONS: tuple[Option, ...] = (
    ("raw", "", "", "the exact bytes, each stream to its own"),
    ("stdout", "", "", "only what the job wrote to its standard output"),
    ("stderr", "", "", "only what the job wrote to its standard error"),
    ("follow", "f", "", "from the first byte until the job has ended, as it comes"),
)


def run(call: Invocation) -> int:
    """Show what a job has written so far, or follow it."""
    return show(call, raw=call.has("raw"))


def show(call: Invocation, *, raw: bool) -> int:
    """Show the streams that were asked for; both where none was named."""
    word = jobs.only_word(call)
    exact = raw or call.has("follow")
    if exact and call.has("json"):
        raise UsageError("--json shows lines: it cannot go with --raw or --follow")
    every: tuple[StreamName, ...] = ("stdout", "stderr")
    streams = tuple(stream for stream in every if call.has(stream)) or every
    with call.client() as client:
        job_id = jobs.find(client, word)
        if exact:
            arrived = _copy(call, client, job_id, streams, raw=raw)
            _tell_missing(client, job_id, arrived)
        elif call.has("json"):
            report.answer(client.output(job_id))
        else:
            _print(client.output(job_id), streams)
    return 0


def _copy(
    call: Invocation, client: Client, job_id: str, streams: tuple[StreamName, ...], *, raw: bool
) -> dict[StreamName, int]:
    """Copy the streams; returns how many bytes of each have come."""
    from jobworker.cli.streams import copy, follow

    if call.has("follow"):
        return follow(client.profile, job_id, streams, raw=raw)
    return {stream: copy(client.raw(job_id, stream), stream, raw=raw) for stream in streams}


def _tell_missing(client: Client, job_id: str, arrived: dict[StreamName, int]) -> None:
    try:
        missing.tell(client.status(job_id), arrived)
    except JobWorkerError:
        pass  # what there is of the output has come, which is what was asked for


def _print(answer: OutputAnswer, streams: tuple[StreamName, ...]) -> None:
    if "stdout" in streams:
        report.line("Output:")
        for text in missing.marked(answer, "stdout"):
            report.line(text)
    if "stderr" in streams:
        for text in missing.marked(answer, "stderr"):
            report.message(text)
