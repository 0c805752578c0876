"""The one table of verbs, and the loading of a verb's module."""

from __future__ import annotations

from importlib import import_module

from jobworker.cli.invocation import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from jobworker.cli.invocation import Invocation, Option

    class Verb(Protocol):
        """The module of a verb: its usage line, its options, its action."""

        USAGE: str
        OPTIONS: tuple[Option, ...]

        @staticmethod
        def run(call: Invocation) -> int:
            """Carries the verb out; returns the exit code."""
            ...


VERBS = (
    ("start", "start", "start a program as a job"),
    ("run", "run", "start a program, show its output, exit as it does"),
    ("status", "status", "show how a job stands, in three lines"),
    ("show", "show", "show all that is known of a job"),
    ("output", "output", "show what a job has written"),
    ("logs", "logs", "the same, byte for byte (output --raw)"),
    ("attach", "attach", "feed a job that was started with run -i or -t"),
    ("stop", "stop", "stop jobs and everything they have started"),
    ("signal", "signal", "send a signal to the program of a job"),
    ("rerun", "rerun", "start a job again, as it was started"),
    ("why", "why", "tell why a job ended, with the evidence"),
    ("extend", "extend", "let a running job run longer"),
    ("wait", "wait", "wait until jobs have ended"),
    ("list", "list", "list jobs, newest first"),
    ("rm", "rm", "remove jobs that have ended, and their output"),
    ("can-i", "can_i", "ask whether the policy lets you start a program"),
    ("whoami", "whoami", "show who the server takes you for"),
    ("token", "token", "print the bearer token of the profile"),
    ("ca", "ca", "print the path of the CA certificate of the profile"),
    ("completion", "completion", "print what makes a shell complete jobctl's words"),
    ("version", "version", "show the version of jobctl"),
    ("help", "help", "show how to use jobctl, or one verb"),
)
"""Each verb: its name, its module in ``verbs``, its summary. Help, the man page and
completion are made from it."""

HIDDEN = ("__complete", "complete", "say what may stand at the cursor; for completion scripts")
"""The verb that no person calls."""


def load(name: str) -> Verb:
    """The module of a verb; raises ``UsageError`` where there is no such verb."""
    for verb, module, _ in (*VERBS, HIDDEN):
        if verb == name:
            found: Verb = import_module(f"jobworker.cli.verbs.{module}")  # type: ignore[assignment]
            return found
    from jobworker.cli import suggestions

    meant = suggestions.verb(name, (verb for verb, _, _ in VERBS)) or ";"
    raise UsageError(f"there is no verb {name!r}{meant} see jobctl help")
