"""The one object that the rooms above ask what a user may run, and how."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from jobworker.errors import InvalidRequest, ProgramForbidden, ProgramNotFound
from jobworker.model import Executable, Grant, Limits, Role, Safeguards, Spec
from jobworker.policy.decide import Decision, Request, decide
from jobworker.policy.files import Files, Untrusted, canonical
from jobworker.policy.rules import QueueBounds, Rules

T = TypeVar("T")

Asked = tuple[str, Role, Spec]
"""The arguments of a question to an authority: user, role, spec."""

_log = logging.getLogger(__name__)

_MOST_LOGGED = 200
"""Characters of a program's path in a line of the log: a client may send thousands."""


class Authority:
    """Decides by the effective rules; ``replace`` gives others.

    The methods look at files, and may read one whole for its digest: where rules name
    programs by digest, call them in a thread. They may be called from several at once.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._files = Files()

    @property
    def rules(self) -> Rules:
        """The effective rules."""
        return self._rules

    @property
    def queue(self) -> QueueBounds:
        """The bounds on jobs that run and wait."""
        return self._rules.queue

    @property
    def total(self) -> Limits:
        """The limits of all jobs together."""
        return self._rules.total

    @property
    def safeguards(self) -> Safeguards | None:
        """The bounds that the machine is to keep, where no job asks for a limit."""
        return self._rules.safeguards

    @property
    def stored_output(self) -> int | None:
        """The most bytes that are kept of one user's output, or None."""
        return self._rules.stored_output

    @property
    def may_take_long(self) -> bool:
        """Whether a decision may have to read a file whole, and so wants a thread."""
        return any(rule.digests for rule in self._rules.policy.rules)

    async def ask(self, question: Callable[[str, Role, Spec], T], *of: *Asked) -> T:
        """Asks ``grant`` or ``explain``; in a thread where it may have to read a whole file."""
        if self.may_take_long:
            return await asyncio.to_thread(question, *of)
        return question(*of)

    def replace(self, rules: Rules) -> None:
        """Decides by these rules from the next request on; what the machine keeps stays as it is.

        The limits of all jobs together, and the safeguards, are set up once, at start.
        """
        self._rules = replace(rules, total=self.total, safeguards=self.safeguards)

    def grant(self, user: str, role: Role, spec: Spec) -> Grant:
        """The grant for a job of ``user`` with this spec.

        It holds for the moment: a job that waits in a queue wants another when it starts.
        Raises ``ProgramForbidden``, ``LimitTooHigh``, ``ProgramNotFound``, and
        ``InvalidRequest`` for a path that is not absolute.
        """
        decision, request = self._decide(user, role, spec)
        try:
            if not decision.allowed:
                raise ProgramForbidden(_sentence(decision))
            executable = self._checked(decision, request)
        except ProgramForbidden as error:
            extra = {"user": user, "program": spec.program[:_MOST_LOGGED], "rule": decision.rule}
            _log.info("start denied: %s", error, extra=extra)
            raise
        return Grant(
            rule=decision.rule,
            limits=decision.limits(spec.limits),
            network=decision.network,
            run_as=decision.account,
            cwd=decision.cwd,
            executable=executable,
            on_output_limit=decision.on_output_limit,
        )

    def explain(self, user: str, role: Role, spec: Spec) -> Decision:
        """The decision that ``grant`` would go by, the check of the file included.

        ``Decision.limits`` tells the effective limits. Raises ``InvalidRequest`` as
        ``grant`` does.
        """
        decision, request = self._decide(user, role, spec)
        if not decision.allowed:
            return decision
        try:
            self._checked(decision, request)
        except (ProgramForbidden, ProgramNotFound) as error:
            return replace(decision, allowed=False, reason=str(error))
        return decision

    def _decide(self, user: str, role: Role, spec: Spec) -> tuple[Decision, Request]:
        if not spec.program.startswith("/"):
            raise InvalidRequest("program must be an absolute path", field="program")
        rules = self._rules
        by_path = any(rule.programs is not None for rule in rules.policy.rules)
        request = Request(
            user=user,
            role=role,
            program=spec.program,
            canonical=canonical(spec.program) if by_path else spec.program,
            args=spec.args,
            cwd=_plain(spec.cwd),
            env=spec.env,
            run_as=spec.run_as,
            network=spec.network,
        )
        return decide(rules, request), request

    def _checked(self, decision: Decision, request: Request) -> Executable | None:
        """The file that was checked, where the rule asks for that."""
        if not decision.checks_program:
            return None
        try:
            return self._files.check(request.canonical, decision.digests)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise ProgramNotFound from None
        except OSError as error:
            why = f"the file cannot be looked at: {error.strerror}"
        except Untrusted as error:
            why = str(error)
        raise ProgramForbidden(f"the policy does not allow the program as it is: {why}")


def _plain(directory: str | None) -> str | None:
    """A directory as a rule has it, where somebody has typed a slash at its end."""
    return directory and (directory.rstrip("/") or "/")


def _sentence(decision: Decision) -> str:
    return f"the policy does not allow this program: {decision.reason}"
