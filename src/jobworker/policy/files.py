"""Checks a program's file: only accounts that the server trusts may be able to change it.

A rule names a program by its path, so it is worth what the path is worth: whoever may
write the file, or a directory above it, decides what the path means. The walk goes down
by descriptors, each directory looked at before what is in it, so nobody can swap
anything behind its back.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from jobworker.model import Executable

_DIGESTS = 256
"""The number of digests that are remembered: more than a policy has programs."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
"""Of a file with an access control list the group's bits are the most that any entry
gives but the owner's (acl(5)), so they tell of those, too."""


class Untrusted(Exception):
    """The file is not one that a rule may name; the text says why."""


def canonical(path: str) -> str:
    """The path without links, ``.`` and ``..``; as it is where that cannot be told."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a NUL, or what no file name can hold
        return path


class Files:
    """Checks files; remembers the digest of a file as long as it has not changed."""

    def __init__(self, trusted: Iterable[int] = ()) -> None:
        self._trusted = frozenset(trusted) or frozenset({0, os.geteuid()})
        self._digests: dict[Executable, str] = {}

    def check(self, path: str, digests: frozenset[str] = frozenset()) -> Executable:
        """The identity of the file at a canonical path.

        It must be a regular file of root's or of the server's account that nobody else
        can write, as must all directories above it, and have one of ``digests`` if there
        are any. Raises ``Untrusted`` where it is not, ``OSError`` where it cannot be
        looked at. Reads the whole file where it has to know its digest.
        """
        with self._opened(path) as fd:
            self._refuse_unless_ours(path, os.fstat(fd), directory=False)
            found = _identity(path, fd)
            if digests and self._digest(fd, found) not in digests:
                raise Untrusted(f"the content of {path} is not what the rule names by its SHA-256")
            return found

    def check_directory(self, path: str) -> None:
        """Checks a directory as ``check`` does a file, without a digest; its path has no links."""
        with self._opened(path) as fd:
            self._refuse_unless_ours(path, os.fstat(fd), directory=True)

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        """A descriptor that stands for the file and opens nothing: a FIFO would block."""
        flags = os.O_PATH | os.O_NOFOLLOW
        parts = [part for part in path.split("/") if part]
        fd, so_far = os.open("/", flags), ""
        try:
            for part in parts:
                self._refuse_unless_ours(so_far or "/", os.fstat(fd), directory=True)
                so_far = f"{so_far}/{part}"
                below = _open_below(fd, part, flags, so_far)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _refuse_unless_ours(self, path: str, status: os.stat_result, *, directory: bool) -> None:
        wanted = stat.S_ISDIR if directory else stat.S_ISREG
        if stat.S_ISLNK(status.st_mode):
            raise Untrusted(f"{path} is a symbolic link to {canonical(path)}; name that instead")
        if not wanted(status.st_mode):
            raise Untrusted(f"{path} is not a {'directory' if directory else 'regular file'}")
        if status.st_uid not in self._trusted:
            raise Untrusted(f"{path} belongs to {_account(status.st_uid)}, who can change it")
        if status.st_mode & _OTHERS_MAY_WRITE:
            who = "everybody" if status.st_mode & stat.S_IWOTH else "its group"
            raise Untrusted(f"{path} can be written by {who}")

    def _digest(self, fd: int, found: Executable) -> str:
        if known := self._digests.get(found):
            return known
        with open(f"/proc/self/fd/{fd}", "rb") as file:  # noqa: PTH123 - the file behind fd
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _identity(found.path, fd) != found:
            raise Untrusted(f"{found.path} is being changed")
        if len(self._digests) >= _DIGESTS:
            self._digests.clear()
        self._digests[found] = digest
        return digest


def _open_below(directory: int, name: str, flags: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:  # of a name alone nobody would know where it was looked for
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def _identity(path: str, fd: int) -> Executable:
    status = os.fstat(fd)
    return Executable(
        path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"UID {uid}"
