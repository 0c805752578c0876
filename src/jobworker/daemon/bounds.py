"""The bounds of this server: what its configuration says, and the machine's defaults."""

from __future__ import annotations

from collections.abc import Iterator

from jobworker.config.settings import Settings
from jobworker.engines.host import resources
from jobworker.engines.host.safeguards import NOT_ASKED
from jobworker.policy.defaults import protecting
from jobworker.policy.load import load
from jobworker.policy.rules import Rules


def rules_of(settings: Settings) -> Rules:
    """The effective rules; raises ``ConfigurationInvalid``."""
    defaults = protecting(resources.memory(), resources.processes(), resources.disk(settings.state))
    return load(settings.config, defaults)


def gaps(rules: Rules) -> Iterator[str]:
    """A sentence about each thing without a bound that the server itself would keep."""
    if rules.queue.running_per_user is None:
        yield f"the running jobs of a user are not bounded: {NOT_ASKED}"
    if rules.stored_output is None:
        yield f"the stored output of a user is not bounded: {NOT_ASKED}"
