"""The files by which jobs look up their own user: the machine's, with a line in front.

Many programs do not run as a user without a name. A job has the user of its owner, which
the machine does not know, or the server's, whose home is not the job's.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobworker import atomic_file
from jobworker.supervisor.names import ACCOUNT_FILES, ACCOUNTS, MACHINE_TMP

SHELL = "/bin/sh"

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
"""The names that useradd(8) takes, and those with dots and capitals, which programs take too."""
_SUFFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", re.ASCII)
"""The owners that are plain after ``job-``: chown(1) would take a name of digits for a number."""

_READABLE = 0o644
_OF_MACHINE = tuple(f"/etc/{name}" for name in ACCOUNT_FILES)

State = tuple[tuple[int, int, int], ...]
"""The inode, time and size of the machine's files: one of them differs after any change."""


@dataclass(frozen=True, slots=True)
class JobAccount:
    """The account of a job's user as the job sees it; ``directory`` has the files."""

    name: str
    directory: str


class AccountFiles:
    """Makes the files of each user once, and anew when the machine's have changed.

    They lie in the state directory, where no job can write: at level ``namespaces``, where
    jobs have the server's user, it is hidden, and what is mounted from it is read-only.
    """

    def __init__(self, state: Path) -> None:
        self._directory = state / ACCOUNTS
        self._accounts: dict[tuple[str, int], JobAccount] = {}
        self._machine: State | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<AccountFiles of {len(self._accounts)} users>"

    async def account(self, owner: str, uid: int, gid: int) -> JobAccount | None:
        """The account of the owner's jobs; None where the machine itself has no such files.

        Raises ``OSError``.
        """
        known = self._known(owner, uid)
        if known is not None or self._machine is None:
            return known
        async with self._lock:
            known = self._known(owner, uid)  # another start of theirs may have made it
            if known is not None:
                return known
            machine = self._machine
            # In a thread, as the machine's names may come from a directory service.
            made = await asyncio.to_thread(self._make, owner, uid, gid)
            if machine == self._machine:
                self._accounts[owner, uid] = made
            return made

    def _known(self, owner: str, uid: int) -> JobAccount | None:
        machine = _state_of_machine()
        if machine != self._machine:
            self._accounts.clear()
            self._machine = machine
        return self._accounts.get((owner, uid))

    def _make(self, owner: str, uid: int, gid: int) -> JobAccount:
        name = account_name(owner, uid, lambda name: _is_taken(name, uid, gid))
        account = JobAccount(name, f"{uid}-{name}")
        directory = self._directory / account.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = (passwd_line(name, uid, gid), b"" if _has_group(gid) else group_line(name, gid))
        for file, line in zip(ACCOUNT_FILES, lines, strict=True):
            _replace(directory / file, line + Path(f"/etc/{file}").read_bytes())
        return account


def account_name(owner: str, uid: int, taken: Callable[[str], bool]) -> str:
    """The name of an owner's account: the owner's own, unless that is the machine's already. Pure.

    Then it is ``job-`` with the owner's, or, where that cannot be a name, with the UID. It
    never holds what means something in the files.
    """
    return next(name for name in _candidates(owner, uid) if not taken(name))


def _candidates(owner: str, uid: int) -> Iterator[str]:
    if _PLAIN.fullmatch(owner):
        yield owner
    if _SUFFIX.fullmatch(owner):
        yield f"job-{owner}"
    yield f"job-{uid}"
    number = 2
    while True:
        yield f"job-{uid}-{number}"
        number += 1


def passwd_line(name: str, uid: int, gid: int) -> bytes:
    """The user's line (passwd(5)). git and mail programs take the comment for a person's name."""
    return f"{name}:x:{uid}:{gid}:{name}:{MACHINE_TMP}:{SHELL}\n".encode()


def group_line(name: str, gid: int) -> bytes:
    """The line of the user's own group (group(5))."""
    return f"{name}:x:{gid}:\n".encode()


def _state_of_machine() -> State | None:
    found = []
    for path in _OF_MACHINE:
        try:
            status = os.stat(path)  # noqa: PTH116 - on every start, and Path costs ten times that
        except OSError:
            return None
        found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _is_taken(name: str, uid: int, gid: int) -> bool:
    """Whether the machine has another account or group of that name, from whatever source."""
    try:
        if pwd.getpwnam(name).pw_uid != uid:
            return True
    except KeyError:
        pass
    try:
        return grp.getgrnam(name).gr_gid != gid
    except KeyError:
        return False


def _has_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True


def _replace(path: Path, content: bytes) -> None:
    """Replaces a file: jobs that run keep the one that they have."""
    draft, descriptor = atomic_file.begin(str(path))
    with open(descriptor, "wb") as file:  # noqa: PTH123 - by descriptor
        os.fchmod(descriptor, _READABLE)
        file.write(content)
    os.rename(draft, path)  # noqa: PTH104 - as atomic_file has it
