"""The database's facts about the users who start jobs (``ports.Owners``)."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, bindparam, func, insert, select

from jobworker.archive.database import Database
from jobworker.archive.prepared import Prepared
from jobworker.archive.tables import accounts, users
from jobworker.model import Role

_ACCOUNT = Prepared(select(accounts.c.number).where(accounts.c.owner == bindparam("who")))
_ROLE = select(users.c.role).where(users.c.name == bindparam("who"))
_NEXT_ACCOUNT = select(func.coalesce(func.max(accounts.c.number) + 1, 0))


class SqlOwners:
    """Roles and account numbers of owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def role(self, owner: str) -> Role:
        """The role of the user of that name; that of a plain user where there is none."""
        role = self._database.read(lambda connection: connection.scalar(_ROLE, {"who": owner}))
        return Role.USER if role is None else Role(role)

    async def account(self, owner: str) -> int:
        """The small number that stands for this owner for ever."""
        # Asked anew each time: jobd user add gives a name that was used before a new one.
        row = self._database.look_up(_ACCOUNT, {"who": owner})
        if row is not None:
            return int(row[0])
        return await self._database.write(partial(_account, owner))


def _account(owner: str, connection: Connection) -> int:
    row = _ACCOUNT.one(connection, {"who": owner})
    if row is not None:
        return int(row[0])
    number: int = connection.scalars(_NEXT_ACCOUNT).one()
    connection.execute(insert(accounts), {"owner": owner, "number": number})
    return number
