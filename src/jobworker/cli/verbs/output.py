"""``jobctl output``."""

from __future__ import annotations

from jobworker.cli import jobs, missing, report, times
from jobworker.cli.invocation import UsageError
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import OutputAnswer
    from jobworker.client.client import Client
    from jobworker.client.frames import StreamName
    from jobworker.client.requests import Window

USAGE = "output [OPTIONS] ID"
OPTIONS: tuple[Option, ...] = (
    ("raw", "", "", "the exact bytes, each stream to its own; with --json as frames"),
    ("stdout", "", "", "only what the job wrote to its standard output"),
    ("stderr", "", "", "only what the job wrote to its standard error"),
    ("follow", "f", "", "from the first byte until the job has ended, as it comes"),
    ("timestamps", "t", "", "begin each line with the time at which it came"),
    ("tail", "", "N", "only the last N lines of what there is, and what comes then"),
    ("since", "", "TIME", "only what came from then on: a time, or how long ago (10m)"),
    ("until", "", "TIME", "only what came before then"),
)
EXAMPLES = (
    "jobctl output j-8f14",
    "jobctl output -f --tail 20 j-8f14",
    "jobctl output -t --since 10m j-8f14",
    "jobctl output --raw --stdout j-8f14 > result.tar",
)
_FOR_FRAMES = ("follow", "timestamps", "tail", "since", "until")


def run(call: Invocation) -> int:
    """Shows what a job has written so far, or follows it."""
    return show(call, raw=call.has("raw"))


def show(call: Invocation, *, raw: bool) -> int:
    """Shows the streams that were asked for; both where none was named."""
    word = jobs.only_word(call)
    # Exact bytes have no other form in JSON.
    framed = any(call.has(option) for option in _FOR_FRAMES) or (raw and call.has("json"))
    window = _window(call)
    with call.client() as client:
        job_id = jobs.find(client, word)
        if framed:
            if not (raw or call.has("follow") or call.has("json")):
                report.line("Output:")
            _frames(call, client, job_id, window, raw=raw)
        elif raw:
            _exact(client, job_id, _streams(call))
        elif call.has("json"):
            report.answer(client.output(job_id))
        else:
            answer = client.output(job_id)
            if any(gap.get("leftOut") for gap in answer.get("gaps", ())):
                report.line("Output:")
                _frames(call, client, job_id, window, raw=False)
            else:
                _print(answer, _streams(call))
    return 0


def _streams(call: Invocation) -> tuple[StreamName, ...]:
    every: tuple[StreamName, ...] = ("stdout", "stderr")
    return tuple(name for name in every if call.has(name)) or every


def _window(call: Invocation) -> Window:
    """The part of the output that was asked for; raises ``UsageError``."""
    window: Window = {"streams": _streams(call)}
    if (text := call.value("tail")) is not None:
        if not (text.isdecimal() and text.isascii()) or len(text) > 9:
            raise UsageError(f"--tail takes a number of lines, not {text!r}")
        window["tail"] = int(text)
    if (text := call.value("since")) is not None:
        window["since"] = times.moment(text)
    if (text := call.value("until")) is not None:
        window["until"] = times.moment(text)
    return window


def _frames(call: Invocation, client: Client, job_id: str, window: Window, *, raw: bool) -> None:
    """Shows both streams in the order in which they came."""
    from jobworker.cli.streams import Streams, as_json

    read = client.follow if call.has("follow") else client.frames
    streams = Streams(raw=raw, stamped=call.has("timestamps"))
    for frame in read(job_id, **window):
        if call.has("json"):
            report.answer(as_json(frame))
            report.flush()
        elif frame.stream != "end":
            streams.write(frame)
    streams.close()


def _exact(client: Client, job_id: str, names: tuple[StreamName, ...]) -> None:
    """Writes the bytes of each stream, and says how many were not kept."""
    from jobworker.cli.streams import Streams

    streams = Streams(raw=True)
    arrived = {name: streams.copy(name, client.raw(job_id, name)) for name in names}
    try:
        missing.tell(client.status(job_id), arrived)
    except JobWorkerError:
        pass  # the output that there is has come, as was asked


def _print(answer: OutputAnswer, streams: tuple[StreamName, ...]) -> None:
    if "stdout" in streams:
        report.line("Output:")
        for text in missing.marked(answer, "stdout"):
            report.line(text)
    if "stderr" in streams:
        for text in missing.marked(answer, "stderr"):
            report.message(text)
