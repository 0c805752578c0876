"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobworker.client import profiles
from jobworker.client.async_connection import AsyncTransport
from jobworker.client.calls import Calls
from jobworker.client.retry import DEFAULT
from jobworker.client.session import Session

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from jobworker.client.detour import OnDetour
    from jobworker.client.retry import RetryPolicy
    from jobworker.client.session import OnRetry


class AsyncClient(Calls):
    """One user on one server, for one event loop; connects on first use.

    Calls may run at the same time, and each may be cancelled: that ends its connection,
    and what was asked may have been done. ``on_retry`` is called before each pause while
    the server is away, ``on_detour`` once the calls go by the server's own socket, with a
    sentence that says why.
    """

    def __init__(
        self,
        profile: profiles.Profile,
        *,
        retry_policy: RetryPolicy = DEFAULT,
        on_retry: OnRetry | None = None,
        on_detour: OnDetour | None = None,
    ) -> None:
        self.profile = profile
        self._transport = AsyncTransport(profile, retry_policy, on_detour)
        super().__init__(Session(profile, self._transport, retry_policy, on_retry))

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        *,
        retry_policy: RetryPolicy = DEFAULT,
        on_retry: OnRetry | None = None,
        on_detour: OnDetour | None = None,
    ) -> Self:
        """A client for a stored profile; see ``profiles.load``, also for what it raises."""
        return cls(
            profiles.load(name),
            retry_policy=retry_policy,
            on_retry=on_retry,
            on_detour=on_detour,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; the next call makes a new one."""
        await self._transport.close()
