"""Owners who are kept in memory."""

from __future__ import annotations

from jobworker.model import Role


class MemoryOwners:
    """Roles and account numbers of owners (``ports.Owners``); ``roles`` is the test's to fill."""

    def __init__(self) -> None:
        self.roles: dict[str, Role] = {}
        self._accounts: dict[str, int] = {}

    async def role(self, owner: str) -> Role:
        """The role in ``roles``; that of a plain user where there is none."""
        return self.roles.get(owner, Role.USER)

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever."""
        return self._accounts.setdefault(owner, len(self._accounts))
