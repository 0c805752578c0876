"""The client that blocks: no event loop, and nothing beyond the standard library."""

from __future__ import annotations

from jobworker.client import blocking, profiles
from jobworker.client.calls import Calls
from jobworker.client.connection import BlockingTransport
from jobworker.client.retry import DEFAULT
from jobworker.client.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from jobworker.client.detour import OnDetour
    from jobworker.client.retry import RetryPolicy
    from jobworker.client.session import OnRetry


class Client:
    """One user on one server; connects on first use.

    Each method blocks until it has its answer, and is that of ``Calls``. Threads may
    share a client: each call has a connection to itself. ``on_retry`` is called before
    each pause while the server is away, ``on_detour`` once the calls go by the server's own
    socket, with a sentence that says why.
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
        self._transport = BlockingTransport(profile, retry_policy, on_detour)
        self._calls = Calls(Session(profile, self._transport, retry_policy, on_retry))

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; the next call makes a new one."""
        blocking.run_sync(self._transport.close())

    start = blocking.call(Calls.start)
    rerun = blocking.call(Calls.rerun)
    run = blocking.call(Calls.run)
    can_start = blocking.call(Calls.can_start)
    stop = blocking.call(Calls.stop)
    signal = blocking.call(Calls.signal)
    extend = blocking.call(Calls.extend)
    status = blocking.call(Calls.status)
    wait = blocking.call(Calls.wait)
    list = blocking.call(Calls.list)
    remove = blocking.call(Calls.remove)
    whoami = blocking.call(Calls.whoami)
    output = blocking.call(Calls.output)
    raw = blocking.each(Calls.raw)
    follow = blocking.each(Calls.follow)
    frames = blocking.each(Calls.frames)
