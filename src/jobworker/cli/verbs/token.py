"""``jobctl token``."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import UsageError
from jobworker.client import profiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "token print"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = (
    "jobctl token print",
    'curl --cacert "$(jobctl ca)" -H "Authorization: Bearer $(jobctl token print)" URL/jobs',
)


def run(call: Invocation) -> int:
    """Prints the profile's bearer token, for a header that a script makes."""
    if call.words != ["print"]:
        raise UsageError("token knows one thing to do: jobctl token print")
    profile = profiles.load(call.value("user"))
    if call.has("json"):
        report.answer({"token": profile.token, "error": None})
    else:
        report.line(profile.token)
    return 0
