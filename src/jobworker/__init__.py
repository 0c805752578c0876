"""Run any Linux program as a job.

``Manager`` is the library. It is loaded at its first use, so that ``jobctl``, which
shares this package, starts without it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.manager import Manager

__all__ = ["Manager"]


def __getattr__(name: str) -> object:
    if name == "Manager":
        from jobworker.manager import Manager  # noqa: PLC0415 - see above

        return Manager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
