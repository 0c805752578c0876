"""A new user: made in the database, and known to this account's ``jobctl`` at once."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from jobworker.client import profiles
from jobworker.client.profiles import Profile
from jobworker.errors import ConfigurationInvalid, ProfileNotFound
from jobworker.identity.tokens import Secret
from jobworker.identity.users import Users
from jobworker.model import Role

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The URL by which clients reach the server, the CA that they trust for it, its socket."""

    url: str
    ca: Path
    socket: Path | None = None


def enrol(users: Users, name: str, role: Role, server: Server, *, take_over: bool = False) -> None:
    """Makes the user, and stores its profile for this account.

    With ``take_over`` it gets the jobs that a removed user of that name has left. Both or
    neither: the profile is stored before the user is committed. Raises what
    ``Users.add`` and ``profiles.store`` do, and ``ConfigurationInvalid`` where the
    account has a profile of that name for another server.
    """

    def keep(token: Secret) -> None:
        _refuse_to_replace(name, server)
        profiles.store(
            Profile(
                name,
                server=server.url,
                ca=str(server.ca),
                token=token.reveal(),
                socket=str(server.socket) if server.socket else None,
            )
        )

    users.add(name, role, keep, take_over=take_over)


def forget(name: str, ca: Path) -> None:
    """Drops this account's profile of a user that is no more, where there is one."""
    if has_profile(name, ca):
        profiles.remove(name)


def has_profile(name: str, ca: Path) -> bool:
    """Whether this account has a profile ``name`` for the server of this CA."""
    known = _profile(name)
    return known is not None and known.ca == str(ca)


def where_tokens_are() -> list[Path]:
    """The directory of this account's profiles, which no job of the account may see.

    It is made if need be: what is not there when the server starts cannot be hidden from
    jobs that start after the first profile has been stored. The list is empty, with a
    warning, where the directory holds more than profiles and jobs may need the rest.
    """
    directory = Path(profiles.config_path()).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = "JOBCTL_CONFIG" not in os.environ or _is_private(directory)
    except OSError as error:
        # Then no profile can be stored there either, and who needs one is told so.
        _log.warning("cannot hide %s from jobs: %s", directory, error.strerror)
        return []
    if not ours:
        _log.warning(
            "jobs that run as this account can read %s; keep it in a directory of its own "
            "with mode 0700",
            profiles.config_path(),
        )
        return []
    return [directory]


def _is_private(directory: Path) -> bool:
    mode = directory.stat().st_mode
    return not mode & 0o077 and directory.resolve() != Path.home().resolve()


def _refuse_to_replace(name: str, server: Server) -> None:
    """A token is not shown again, so one of another server must not be lost.

    A server whose CA is gone cannot be reached any more, so nothing is lost with it.
    """
    known = _profile(name)
    if known and known.ca != str(server.ca) and Path(known.ca).exists():
        raise ConfigurationInvalid(
            f"cannot store the profile {name!r} in {profiles.config_path()}: it has one of that "
            f"name for the server {known.server}",
            hint="remove that one, or name another file with JOBCTL_CONFIG",
        )


def _profile(name: str) -> Profile | None:
    try:
        return profiles.load(name)
    except ProfileNotFound:
        return None
