"""Says what of a job's output was not kept."""

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
            yield f"[\u2026 {gap['end'] - gap['start']} bytes not kept \u2026]"
            at = gap["line"]
    yield from lines[at:]


def tell(job: JobView, arrived: Mapping[StreamName, int]) -> None:
    """Say of each stream how much of it has not come, once it is known how much there was.

    Who follows a job as it writes may have seen what was not kept after that.
    """
    for stream, count in arrived.items():
        absent = _written(job, stream) - count
        if absent > 0:
            report.message(f"jobctl: {absent} bytes of {stream} were not kept")


def _written(job: JobView, stream: StreamName) -> int:
    """Bytes that a job wrote to a stream; 0 as long as it runs, and where nobody knows."""
    usage = job["usage"]
    if usage is None:
        return 0
    kept = usage["stdoutBytes"] if stream == "stdout" else usage["stderrBytes"]
    gaps = [gap["end"] - gap["start"] for gap in job["gaps"] if gap["stream"] == stream]
    return kept + sum(gaps)
