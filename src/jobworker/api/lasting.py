"""Bounds on the requests that last: each holds its connection for as long as it likes.

Who waits for a job or follows it does no harm alone; a thousand at once would leave no
connection to anybody else. So one user has a bound, all of them together have a share, and
the rest is for what is answered at once. A stop that waits for a grace has a share of its
own: no number of followers can be in its way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jobworker.errors import TooManyRequests

MOST = 768
"""Requests at once that wait, follow or attach, by all users; fewer where the server has
fewer connections (``api/server/gate.py``)."""

MOST_STOPS = 128
"""Stops at once that wait for a grace, by all users; fewer in the same way."""


class Lasting:
    """The requests of one kind that last; ``most`` is the bound on all of them."""

    def __init__(self, what: str, most: int) -> None:
        self.most = most
        self._what = what
        self._held: Counter[str] = Counter()
        self._count = 0

    def __repr__(self) -> str:
        return f"<Lasting: {self._count} of {self.most} {self._what}, {len(self._held)} users>"

    def take(self, user: str, most_by_one: int) -> Place:
        """A place for one request of ``user``, to be closed; raises ``TooManyRequests``.

        Where there are few for all users, one has no more than half of them.
        """
        own = self._held[user]
        if own >= min(most_by_one, -(-self.most // 2)):
            raise TooManyRequests(
                f"{user} has {own} {self._what} at once, the most for one user",
                hint="end one of them, or ask again; the setting is lasting-requests "
                "in [per-user] of the server's configuration",
            )
        if self._count >= self.most:
            raise TooManyRequests(
                f"the server has {self._count} {self._what} at once, the most for all users",
                hint="ask again in a moment",
            )
        self._held[user] = own + 1
        self._count += 1
        return Place(self, user)

    def give_back(self, user: str) -> None:
        """Makes room for another request; for ``Place``."""
        self._count -= 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]


class Place:
    """The hold of one request on its share, until it is closed."""

    __slots__ = ("_lasting", "_user")

    def __init__(self, lasting: Lasting, user: str) -> None:
        self._lasting: Lasting | None = lasting
        self._user = user

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the place back; a second time does nothing."""
        if self._lasting is not None:
            self._lasting.give_back(self._user)
            self._lasting = None


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of one way to the server: the network has some, its operator's socket others."""

    lasting: Lasting = field(
        default_factory=lambda: Lasting("requests that wait, follow or attach", MOST)
    )
    stops: Lasting = field(
        default_factory=lambda: Lasting("stops that wait for a grace", MOST_STOPS)
    )
