"""The connections on which somebody has shown a good token, and what they are busy with.

The server below us (``api/server``) sees sockets and no requests; by this it knows which of
them belong to a user. A connection is named by its client's address and port.
"""

from __future__ import annotations

import time
from collections.abc import Collection

Client = tuple[str, str]
"""The address and the port of a connection's client, as ASGI has them."""


class Caller:
    """A user's connection: ``in_hand`` requests are being answered, the last ended at ``at``."""

    __slots__ = ("at", "in_hand", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.in_hand = 0
        self.at = 0.0

    def leave(self) -> None:
        """Notes that a request has been answered."""
        self.in_hand -= 1
        self.at = time.monotonic()


class Callers:
    """The connections of all users."""

    def __init__(self) -> None:
        self._known: dict[Client, Caller] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Callers: {len(self)} connections>"

    def enter(self, client: Client, user: str) -> Caller:
        """Notes that a request of ``user`` has come by this connection."""
        caller = self._known.get(client)
        if caller is None:
            caller = self._known[client] = Caller(user)
        caller.user = user
        caller.in_hand += 1
        return caller

    def get(self, client: Client) -> Caller | None:
        """The connection of a user, or None where no good token has come by it."""
        return self._known.get(client)

    def keep(self, clients: Collection[Client]) -> None:
        """Forgets all connections but these and those that are being answered."""
        self._known = {
            client: caller
            for client, caller in self._known.items()
            if client in clients or caller.in_hand
        }
