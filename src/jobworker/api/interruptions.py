"""The end of requests that last before they are done: a server that stops, a token refused."""

from __future__ import annotations

import asyncio
from typing import Protocol

from jobworker.errors import BadAuthentication, JobWorkerError, ServiceUnavailable
from jobworker.identity.users import User

LOOK_AT_TOKENS = 5.0
"""Seconds between looks whether the tokens of answers that last still count."""

Interruption = asyncio.Future[JobWorkerError]
"""The error by which a request is to end."""


class Accounts(Protocol):
    """The part of ``identity.users.Users`` that the API uses."""

    def authenticate(self, token: str) -> User:
        """The user that the token belongs to; raises ``BadAuthentication``."""
        ...


class Interruptions:
    """The requests that last, to be told why they have to end; one look at their tokens for all."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._expected: dict[Interruption, str | None] = {}
        self._next_look: asyncio.TimerHandle | None = None
        self.stopping = False

    def __repr__(self) -> str:
        return f"<Interruptions of {len(self._expected)} requests>"

    def expect(self, token: str | None) -> Interruption:
        """The interruption of one request, to be given to ``forget`` in the end."""
        loop = asyncio.get_running_loop()
        interruption: Interruption = loop.create_future()
        if self.stopping:
            interruption.set_result(_stopping())
        self._expected[interruption] = token
        if token is not None and self._next_look is None:
            self._next_look = loop.call_later(LOOK_AT_TOKENS, self._look)
        return interruption

    def forget(self, interruption: Interruption) -> None:
        """Expects it no more."""
        del self._expected[interruption]

    def stop(self) -> None:
        """Interrupts all that lasts, now and from now on: the server is to stop."""
        self.stopping = True
        for interruption in self._expected:
            _interrupt(interruption, _stopping())

    def _look(self) -> None:
        tokens = {token for token in self._expected.values() if token is not None}
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(LOOK_AT_TOKENS, self._look) if tokens else None
        refused = {token for token in tokens if self._is_refused(token)}
        for interruption, token in self._expected.items():
            if token in refused:
                _interrupt(interruption, BadAuthentication())

    def _is_refused(self, token: str) -> bool:
        try:
            self._accounts.authenticate(token)
        except BadAuthentication:
            return True
        except JobWorkerError:
            return False  # it cannot be told just now: a disk that fails ends no answer
        return False


def _interrupt(interruption: Interruption, error: JobWorkerError) -> None:
    if not interruption.done():
        interruption.set_result(error)


def _stopping() -> ServiceUnavailable:
    return ServiceUnavailable("the server is stopping", hint="ask again in a moment")
