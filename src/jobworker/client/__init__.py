"""The client: profiles, trust, and the calls of the HTTP API without asyncio.

``jobctl`` pays for every module that is imported here, so nothing is until it is used:
``from jobworker.client import Client`` loads HTTP and TLS, the profiles alone do not.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> type[Client]:
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jobworker.client.client import Client

    return Client
