"""``jobctl whoami``."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import no_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "whoami"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl whoami", "jobctl -u admin whoami --json")


def run(call: Invocation) -> int:
    """Shows the name and the role by which the server knows the token."""
    no_words(call)
    with call.client() as client:
        me = client.whoami()
    if call.has("json"):
        report.answer(me)
    else:
        report.line(me["name"] if call.has("quiet") else f"{me['name']} ({me['role']})")
    return 0
