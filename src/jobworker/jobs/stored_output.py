"""The output that is kept of each owner: how much there is, and how much live jobs may add.

It deals with numbers and names only. A job that asks for no limit of output gets a share of
the room that is left to its owner, so that however many there are, they have room; it keeps
the beginning and the end of what it writes. One that asks for more than there is is refused.
"""

from __future__ import annotations

from collections import Counter

from jobworker.errors import StorageFull
from jobworker.units import size_text

_SHARES = 16
"""A job that asks for nothing gets the room left, divided by this: dozens get about as much."""

_LEAST = 1 << 20
"""Bytes that such a job gets in any case."""

_HINT = (
    "remove jobs that have ended (jobctl rm), or stop some that run; the server's setting is "
    "stored-output in [per-user]"
)


class StoredOutput:
    """Bytes of each owner. What ended jobs have is known once it was looked up: see ``learn``."""

    def __init__(self) -> None:
        self._reserved: Counter[str] = Counter()
        self._kept: dict[str, int] = {}
        self._changes: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<StoredOutput: {len(self._kept)} owners known, {self._reserved.total()} reserved>"

    def reserve(self, owner: str, amount: int) -> None:
        """Counts what a live job may write; a negative amount gives it back."""
        self._reserved[owner] += amount

    def add(self, owner: str, amount: int) -> None:
        """Counts what an ended job has left, or, where it is negative, what was removed."""
        self._changes[owner] += 1
        if owner in self._kept:
            self._kept[owner] = max(0, self._kept[owner] + amount)

    def changes(self, owner: str) -> int | None:
        """The number of changes while it is unknown; None where it is known."""
        return None if owner in self._kept else self._changes[owner]

    def learn(self, owner: str, kept: int) -> None:
        """Takes what the archive has of an owner's output; ``add`` keeps it true from now on."""
        self._kept[owner] = kept

    def allot(self, owner: str, bound: int, asked: int | None, granted: int | None) -> int | None:
        """The limit of output of a job that is about to start, whose owner is known.

        ``asked`` is what it asks for, ``granted`` what the policy gives it. Raises
        ``StorageFull`` where nothing is left, or less than it asks for.
        """
        kept = self._kept[owner]
        room = bound - kept - self._reserved[owner]
        if kept >= bound:
            raise StorageFull(
                f"the stored output of {owner} takes {size_text(kept)}, and may take "
                f"{size_text(bound)}",
                hint=_HINT,
            )
        if asked is None:
            share = max(room // _SHARES, _LEAST)
            return share if granted is None else min(granted, share)
        if asked > room:
            raise StorageFull(
                f"limits.output {size_text(asked)} was asked for; there is room for "
                f"{size_text(max(room, 0))} more of the output of {owner}",
                hint=_HINT,
                field="limits.output",
            )
        return granted
