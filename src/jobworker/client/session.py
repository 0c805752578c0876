"""Asking one server until it answers: what is sent again, how often, and what is not."""

from __future__ import annotations

from time import monotonic

from jobworker.client import endpoint, exchange
from jobworker.client.failures import ConnectionLost, Untrusted
from jobworker.client.retry import RetryState
from jobworker.errors import ServerUnreachable, ServiceUnavailable, TooManyRequests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jobworker.client.exchange import Exchange, Request, Transport
    from jobworker.client.profiles import Profile
    from jobworker.client.retry import Retry, RetryPolicy
    from jobworker.errors import JobWorkerError

    OnRetry = Callable[[Retry], object]

RETRYABLE = (ServerUnreachable, ServiceUnavailable, TooManyRequests)
"""The failures that are worth another attempt. No other refusal changes by asking again."""


class Session:
    """One user on one server, by one transport."""

    def __init__(
        self,
        profile: Profile,
        transport: Transport,
        retry_policy: RetryPolicy,
        on_retry: OnRetry | None,
    ) -> None:
        self.server = profile.server
        self._profile = profile
        self.retry_policy = retry_policy
        self.transport = transport
        self._on_retry = on_retry
        self._reached = False

    def retry_state(self, budget: float) -> RetryState:
        """The state of one call, which waits ``budget`` seconds for a server that is away."""
        return RetryState(self.retry_policy, budget)

    async def ask(self, request: Request, outage: RetryState | None = None) -> Any:
        """The JSON of the answer, be it at the second attempt or the tenth."""
        outage = outage or self.retry_state(self.retry_policy.calls)
        while True:
            try:
                return await self.ask_once(request)
            except RETRYABLE as error:
                await self.wait_or_raise(error, outage, request)

    async def ask_once(self, request: Request) -> Any:
        """The JSON of the answer; raises what it stands for."""
        return await exchange.read(await self._send(request), self.server)

    async def open(self, request: Request) -> Exchange:
        """Begins an answer that is read piece by piece; raises where it is a refusal."""
        begun = await self._send(request)
        if not exchange.is_success(begun):
            await exchange.read(begun, self.server)
        return begun

    async def wait_or_raise(
        self, error: JobWorkerError, outage: RetryState, request: Request
    ) -> None:
        """Returns when ``request`` is to be sent again; raises ``error`` where it is not.

        It is one of ``RETRYABLE``.

        A server that was never reached is not waited for: more often than it is away,
        the address is wrong, and nothing can have been lost yet.
        """
        self._reached = self._reached or isinstance(error, ConnectionLost)
        outage.unsure = outage.unsure or isinstance(error, ConnectionLost | ServiceUnavailable)
        final = isinstance(error, Untrusted) or not self._reached
        final = final or (isinstance(error, ConnectionLost) and not request.repeatable)
        retry = None if final else outage.retry(error, monotonic())
        if retry is None:
            raise error
        if self._on_retry:
            self._on_retry(retry)
        await self.transport.pause(retry.pause)

    def lost(self, reason: str) -> ConnectionLost:
        """The failure of an answer that is not whole."""
        return endpoint.lost(self._profile, reason)

    async def _send(self, request: Request) -> Exchange:
        begun = await self.transport.send(request)
        self._reached = True
        return begun
