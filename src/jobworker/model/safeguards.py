"""The bounds that protect users from each other, where no job asks for a limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Safeguards:
    """Bounds that a machine keeps at no cost for a job; None where there is to be none.

    ``memory`` is that of all jobs together, ``pids`` the processes of a user at once.
    """

    memory: int | None = None
    pids: int | None = None


NO_SAFEGUARDS = Safeguards()
"""Safeguards that bound nothing."""
