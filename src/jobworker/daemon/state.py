"""The state directory: who may have one, and what stands in it."""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobworker.api.server.listening import OPERATOR_SOCKET
from jobworker.archive.database import FILE_NAME, Database
from jobworker.errors import StateUnusable
from jobworker.identity.users import Users


@dataclass(frozen=True, slots=True)
class State:
    """The directory that holds everything the server keeps."""

    directory: Path

    @property
    def database(self) -> Path:
        """Jobs, users, and the digests of tokens."""
        return self.directory / FILE_NAME

    @property
    def tls(self) -> Path:
        """Keys and certificates."""
        return self.directory / "tls"

    @property
    def socket(self) -> Path:
        """The socket by which this account reaches the server, whoever has its port."""
        return self.directory / OPERATOR_SOCKET

    @property
    def address(self) -> Path:
        """The file with the address of the server that runs on this state."""
        return self.directory / "address"


def make_state(directory: Path) -> State:
    """Makes the state directory where there is none; raises ``StateUnusable``.

    An empty directory becomes private. One that holds files keeps its mode: it may be
    there for more than us, and what we make in it is private anyhow.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(directory)
        if not any(directory.iterdir()):
            directory.chmod(0o700)
    except OSError as error:
        raise StateUnusable(
            f"cannot use the state directory {directory}: {error.strerror}",
            hint="name another one with --state or JOBD_STATE",
        ) from error
    return State(directory)


def find_state(directory: Path) -> State:
    """The state of a server that has been started before; raises ``StateUnusable``."""
    state = State(directory)
    try:
        _check(directory)
        known = state.database.exists()
    except FileNotFoundError:
        known = False
    except OSError as error:
        raise StateUnusable(
            f"cannot use the state directory {directory}: {error.strerror}",
            hint="run this as the account that runs jobd",
        ) from error
    if not known:
        raise StateUnusable(
            f"cannot find the state of a server in {directory}: there is no {state.database.name}",
            hint="start the server once, or name its state with --state, --config or JOBD_STATE",
        )
    return state


@contextmanager
def users_of(state: State) -> Iterator[Users]:
    """The users in a state, for a command beside the server."""
    database = Database.open(state.database)
    try:
        yield Users(database)
    finally:
        asyncio.run(database.close())


def _check(directory: Path) -> None:
    """Refuses a directory that somebody else could change."""
    status = directory.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StateUnusable(
            f"cannot use the state directory {directory}: it is not a directory",
            hint="name another one with --state or JOBD_STATE",
        )
    if status.st_uid != os.geteuid():
        owner, we = _account(status.st_uid), _account(os.geteuid())
        raise StateUnusable(
            f"cannot use the state directory {directory}: it belongs to {owner}, not to {we}",
            hint=f"run this as {owner}, or name another directory with --state or JOBD_STATE",
        )
    if status.st_mode & 0o022:
        raise StateUnusable(
            f"cannot use the state directory {directory}: its mode is "
            f"{stat.S_IMODE(status.st_mode):04o}, so others may write in it",
            hint=_how_to_close(directory, status),
        )


def _how_to_close(directory: Path, status: os.stat_result) -> str:
    """The advice for a directory that others may write: no change of mode where it serves others.

    One with the sticky bit, such as ``/tmp``, does; and one with files, but no database.
    """
    ours = (directory / FILE_NAME).exists() or not any(directory.iterdir())
    if status.st_mode & stat.S_ISVTX or not ours:
        return "name a directory of its own with --state or JOBD_STATE"
    return f"see that nobody has, then {shlex.join(('chmod', 'go-w', str(directory)))}"


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"UID {uid}"
