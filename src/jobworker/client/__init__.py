"""The client: profiles, trust, and the calls of the HTTP API, with asyncio or without.

``jobctl`` pays for every module that is imported here, so nothing is until it is used:
``from jobworker.client import Client`` loads HTTP and TLS, the profiles alone do not.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.async_client import AsyncClient
    from jobworker.client.client import Client
    from jobworker.client.finished import Finished
    from jobworker.client.frames import End, Frame
    from jobworker.client.profiles import Profile
    from jobworker.client.retry import Retry, RetryPolicy

__all__ = ["AsyncClient", "Client", "End", "Finished", "Frame", "Profile", "Retry", "RetryPolicy"]

_MODULES = {
    "AsyncClient": "async_client",
    "Client": "client",
    "End": "frames",
    "Finished": "finished",
    "Frame": "frames",
    "RetryPolicy": "retry",
    "Profile": "profiles",
    "Retry": "retry",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
