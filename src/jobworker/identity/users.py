"""Users and their tokens, as the database keeps them.

Every request looks its token up in the database, so a change by another process, such as
``jobd user remove``, holds from the next request on.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from jobworker.archive.database import Database
from jobworker.archive.prepared import Prepared
from jobworker.archive.tables import accounts, idempotency_keys, jobs, tokens, users
from jobworker.errors import (
    BadAuthentication,
    InvalidRequest,
    LastAdmin,
    NameTaken,
    UserExists,
    UserNotFound,
)
from jobworker.identity.tokens import Credential, Secret, mint, parse
from jobworker.model import Role

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """A user who may call the service."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Listed:
    """A user as lists show it: ``tokens`` holds the IDs of its valid tokens."""

    user: User
    tokens: tuple[str, ...]


_in_force = and_(
    tokens.c.revoked_at.is_(None),
    tokens.c.expires_at.is_(None) | (tokens.c.expires_at > bindparam("now")),
)
_BEARER = Prepared(
    select(users.c.name, users.c.role, tokens.c.digest)
    .join_from(tokens, users, tokens.c.user == users.c.name)
    .where(tokens.c.id == bindparam("id"), _in_force)
)
_EVERYBODY = (
    select(users.c.name, users.c.role, tokens.c.id)
    .join_from(users, tokens, and_(tokens.c.user == users.c.name, _in_force), isouter=True)
    .order_by(users.c.name, tokens.c.created_at)
)


class Users:
    """The users of one database, for the server and for commands beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def authenticate(self, token: str) -> User:
        """The user that ``token`` belongs to; takes well under 100 µs.

        Raises ``BadAuthentication`` unless the token is valid.
        """
        shown = parse(token)
        row = self._database.look_up(_BEARER, {"id": shown.id, "now": _now()})
        if row is None:
            raise BadAuthentication
        name, role, digest = row
        if not hmac.compare_digest(digest, shown.digest):
            raise BadAuthentication
        return User(name, Role(role))

    def add(
        self,
        name: str,
        role: Role,
        hand_over: Callable[[Secret], None] | None = None,
        *,
        take_over: bool = False,
    ) -> Secret:
        """Makes a user and a token for it, which cannot be read again later.

        A job belongs to a name. So a name that has jobs, of a user who was removed, is
        given to a new one only with ``take_over``, and then its jobs and output with it.

        ``hand_over`` is given the token before the user is committed, and the user is
        not made where it fails: so no user is left whose token is lost. Raises
        ``InvalidRequest``, ``UserExists`` and ``NameTaken``.
        """
        check_name(name)
        token, credential = mint()

        def create(connection: Connection) -> None:
            _insert(connection, User(name, role), credential)
            if not take_over:
                _begin_anew(connection, name)
            if hand_over:
                hand_over(token)

        try:
            self._database.write_now(create)
        except IntegrityError:
            raise UserExists(
                f"cannot add user {name!r}: there is one of that name",
                hint="choose another name, or remove that user first",
            ) from None
        return token

    def remove(self, name: str, *, force: bool = False) -> None:
        """Deletes a user with its tokens; its jobs stay, under its name.

        Raises ``UserNotFound``, and ``LastAdmin`` for the only admin, unless ``force``.
        """

        def drop(connection: Connection) -> int:
            if not force:
                _keep_an_admin(connection, name)
            connection.execute(delete(tokens).where(tokens.c.user == name))
            return connection.execute(delete(users).where(users.c.name == name)).rowcount

        if not self._database.write_now(drop):
            raise UserNotFound(f"cannot remove user {name!r}: there is no user of that name")

    def revoke(self, name_or_id: str) -> list[str]:
        """Revokes every token of a user, or the one with this ID; returns the IDs.

        Tokens revoked before are not among them. Raises ``UserNotFound`` where there is
        neither a user of that name nor a token of that ID.
        """

        def revoke(connection: Connection) -> list[str] | None:
            named = _tokens_of(connection, name_or_id)
            if named is None:
                return None
            change = update(tokens).where(named, tokens.c.revoked_at.is_(None))
            revoked = change.values(revoked_at=_now()).returning(tokens.c.id)
            return list(connection.scalars(revoked))

        revoked = self._database.write_now(revoke)
        if revoked is None:
            raise UserNotFound(
                f"cannot revoke {name_or_id!r}: there is no user or token of that name",
                hint="jobd user list shows users and the IDs of their tokens",
            )
        return revoked

    def list(self) -> tuple[Listed, ...]:
        """Every user by name, with the valid tokens, oldest first."""
        rows = self._database.read(
            lambda connection: connection.execute(_EVERYBODY, {"now": _now()}).all()
        )
        found: dict[User, tuple[str, ...]] = {}
        for name, role, token_id in rows:
            user = User(name, Role(role))
            found[user] = found.get(user, ()) + ((token_id,) if token_id else ())
        return tuple(Listed(user, ids) for user, ids in found.items())

    def any(self) -> bool:
        """Whether there is a user at all."""
        count = select(func.count()).select_from(users)
        return bool(self._database.read(lambda connection: connection.scalar(count)))


def check_name(name: str) -> None:
    """Raises ``InvalidRequest`` unless ``name`` can be a user's name."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"cannot add user {name[:80]!r}: a name has 1 to 32 characters of a-z, 0-9, "
            "'.', '_' and '-', and begins with a letter or digit",
            field="name",
        )


def _begin_anew(connection: Connection, name: str) -> None:
    """Sees that a new user has nothing of one who had the name before.

    Raises ``NameTaken`` where there are jobs of that name. The keys of jobs that have been
    removed go, and the UID of their owner, who may have left files, is never used again.
    """
    count = connection.scalar(select(func.count()).where(jobs.c.owner == name))
    if count:
        some = "a job" if count == 1 else f"{count} jobs"
        raise NameTaken(
            f"cannot add user {name!r}: a user of that name was removed, and has left {some}, "
            "which the new one would own",
            hint="choose another name; or have an admin remove its jobs (jobctl -u admin list -q "
            f"--all --owner {name} | xargs -r jobctl -u admin rm); or add --take-over to hand "
            "them to the new user",
        )
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.owner == name))
    # No user has a name with spaces in it.
    former = "a former " + accounts.c.owner + ", number " + cast(accounts.c.number, String)
    connection.execute(update(accounts).where(accounts.c.owner == name).values(owner=former))


def _keep_an_admin(connection: Connection, name: str) -> None:
    admins = select(users.c.name).where(users.c.role == Role.ADMIN)
    if list(connection.scalars(admins)) == [name]:
        raise LastAdmin(
            f"cannot remove user {name!r}: it is the only admin",
            hint="make another one first (jobd user add NAME --role admin), or remove it "
            "with --force",
        )


def _insert(connection: Connection, user: User, credential: Credential) -> None:
    now = _now()
    connection.execute(insert(users).values(name=user.name, role=user.role, created_at=now))
    connection.execute(
        insert(tokens).values(
            id=credential.id, user=user.name, digest=credential.digest, created_at=now
        )
    )


def _tokens_of(connection: Connection, name_or_id: str) -> ColumnElement[bool] | None:
    """The condition for the tokens meant; a user goes before a token of that ID."""
    if connection.execute(select(users.c.name).where(users.c.name == name_or_id)).first():
        return tokens.c.user == name_or_id
    if connection.execute(select(tokens.c.id).where(tokens.c.id == name_or_id)).first():
        return tokens.c.id == name_or_id
    return None


def _now() -> int:
    """Microseconds since 1970, as the tables hold times."""
    return time.time_ns() // 1000
