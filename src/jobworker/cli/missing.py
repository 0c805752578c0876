"""The reports of the parts of a job's output that were not kept."""

from __future__ import annotations

from jobworker.cli import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobworker.client.answers import JobView, OutputAnswer
    from jobworker.client.frames import StreamName


def marked(answer: OutputAnswer, stream: StreamName) -> Iterator[str]:
    """The lines of a stream, with a line in the place of each gap."""
    lines = answer["stdout"] if stream == "stdout" else answer["stderr"]
    at = 0
    for gap in answer.get("gaps", ()):
        if gap["stream"] == stream:
            yield from lines[at : gap["line"]]
            why = "left out; output --raw has them" if gap.get("leftOut") else "not kept"
            yield f"[\u2026 {gap['end'] - gap['start']} bytes {why} \u2026]"
            at = gap["line"]
    yield from lines[at:]


def tell(job: JobView, arrived: Mapping[StreamName, int]) -> None:
    """Says of each stream how much of it has not come, once it is known how much there was.

    A call that follows a job as it writes may have seen bytes that were not kept later.
    """
    for stream, count in arrived.items():
        absent = _written(job, stream) - count
        if absent > 0:
            report.message(f"jobctl: {absent} bytes of {stream} were not kept")


def _written(job: JobView, stream: StreamName) -> int:
    """The number of bytes that a job wrote to a stream; 0 while it runs, and if not known."""
    usage = job["usage"]
    if usage is None:
        return 0
    kept = usage["stdoutBytes"] if stream == "stdout" else usage["stderrBytes"]
    gaps = [gap["end"] - gap["start"] for gap in job["gaps"] if gap["stream"] == stream]
    return kept + sum(gaps)
