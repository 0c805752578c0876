"""Runs any Linux program as a job.

``Manager`` is the library, ``Client`` and ``AsyncClient`` talk to a server. Each is loaded
at its first use, so that ``jobctl``, which shares this package, starts without them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client import AsyncClient, Client
    from jobworker.embedded import Manager

__all__ = ["AsyncClient", "Client", "Manager"]


def __getattr__(name: str) -> object:
    if name == "Manager":
        from jobworker.embedded import Manager  # noqa: PLC0415 - see above

        return Manager
    if name in ("AsyncClient", "Client"):
        from jobworker import client  # noqa: PLC0415 - see above

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
