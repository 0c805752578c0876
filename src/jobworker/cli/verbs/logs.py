"""``jobctl logs``: ``jobctl output --raw``."""

from __future__ import annotations

from jobworker.cli.verbs import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation

USAGE = "logs [OPTIONS] ID"
OPTIONS = output.OPTIONS
EXAMPLES = ("jobctl logs j-9f8b > out.bin 2> err.bin", "jobctl logs --stdout j-9f8b | gzip -d")


def run(call: Invocation) -> int:
    """Writes the exact bytes of a job's output, each stream to its own."""
    return output.show(call, raw=True)
