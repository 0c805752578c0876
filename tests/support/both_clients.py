"""``AsyncClient`` as the tests of ``Client`` call it, so that one test is for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Protocol, cast

import pytest

from jobworker.client import AsyncClient, Client, Profile


class MakeClient(Protocol):
    """Makes clients of one kind; each is closed at the test's end."""

    def __call__(self, profile: Profile, **options: Any) -> Client: ...


class Steps:
    """An asynchronous generator, one step at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, items: AsyncGenerator[Any, None]) -> None:
        self._loop = loop
        self._items = items

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.run_until_complete(anext(self._items))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        self._loop.run_until_complete(self._items.aclose())


class Awaited:
    """An ``AsyncClient`` with an event loop of its own, each call run to its end."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._awaited(found) if callable(found) else found

    def _awaited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            made = method(*args, **options)
            if isinstance(made, AsyncGenerator):
                return Steps(self._loop, made)
            return self._loop.run_until_complete(made)

        return call

    def end(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(params=["blocking", "asyncio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Clients of either kind, to be called in one way."""
    made: list[Client | Awaited] = []

    def make(profile: Profile, **options: Any) -> Client:
        if request.param == "blocking":
            made.append(Client(profile, **options))
        else:
            made.append(Awaited(AsyncClient(profile, **options)))
        return cast("Client", made[-1])

    yield make
    for client in made:
        if isinstance(client, Awaited):
            client.end()
        else:
            client.close()
