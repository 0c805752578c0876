"""``jobctl ca``."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import no_words
from jobworker.client import profiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "ca"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl ca", 'curl --cacert "$(jobctl ca)" https://127.0.0.1:8443/healthz')


def run(call: Invocation) -> int:
    """Prints the path of the CA certificate, for ``curl --cacert``."""
    no_words(call)
    profile = profiles.load(call.value("user"))
    if call.has("json"):
        report.answer({"ca": profile.ca, "error": None})
    else:
        report.line(profile.ca)
    return 0
