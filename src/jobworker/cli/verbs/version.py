"""``jobctl version``."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import no_words
from jobworker.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "version"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl version", "jobctl --version", "jobctl version --json")


def run(call: Invocation) -> int:
    """Shows the version of this ``jobctl``."""
    no_words(call)
    if call.has("json"):
        report.answer({"version": VERSION, "error": None})
    else:
        report.line(f"jobctl {VERSION}")
    return 0
