"""The file to execute: by its name or, where it was checked, by a descriptor of that very file.

Between the server's check and the exec a name may come to mean another file. So the file
is opened once, compared with the one that was checked, and executed by its descriptor.
"""

from __future__ import annotations

import os

_ELF = b"\x7fELF"
_KEPT = 3
"""The descriptor of its own file for a program that opens it: the first free number."""


class Changed(Exception):
    """The file is not in the state in which it was checked."""


class Image:
    """The file to execute, by ``path``; to be closed after the exec.

    A program that needs the file open itself has it as ``_KEPT``: by ``spawn_actions``
    after a spawn, by ``place`` after a fork.
    """

    def __init__(self, path: bytes, fd: int | None = None, *, kept: bool = False) -> None:
        self._fd = fd
        self._kept = kept
        self.path = path
        if fd is not None:
            self.path = b"/proc/self/fd/%d" % (_KEPT if kept else fd)

    def spawn_actions(self) -> list[tuple[int, int, int]]:
        """The actions for posix_spawn(3) in the child."""
        if self._fd is None or not self._kept:
            return []
        return [(os.POSIX_SPAWN_DUP2, self._fd, _KEPT)]

    def place(self) -> None:
        """Does as ``spawn_actions`` in a forked child, right before exec."""
        if self._fd is not None and self._kept:
            os.dup2(self._fd, _KEPT)
            os.set_inheritable(_KEPT, True)  # dup2(2) does nothing where both are the same

    def close(self) -> None:
        """Closes the file."""
        if self._fd is not None:
            os.close(self._fd)


def image_of(program: bytes, identity: bytes | None) -> Image:
    """The file to execute for ``program``, opened as the current user.

    ``identity`` is that of the file as it was checked, ``program`` its canonical path
    then; without it any file will do. Raises ``Changed``, or ``OSError`` where the file
    cannot be opened.
    """
    if identity is None:
        return Image(program)
    fd = os.open(program, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if identity_of(os.fstat(fd)) != identity:
            raise Changed
        return Image(program, fd, kept=_is_opened_again(fd))
    except BaseException:
        os.close(fd)
        raise


def identity_of(status: os.stat_result) -> bytes:
    """The state of a file, as the record of a job has it: its time of change cannot be set."""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return b":".join([b"%d" % number for number in numbers])


def _is_opened_again(fd: int) -> bool:
    """Whether another program will open the file to run it: all but ELF files (execve(2)).

    The interpreter of a script gets the path that was executed, which is our descriptor's,
    and finds nothing there if it was closed on exec. No interpreter can read a file that
    may be executed but not read, so that is taken for a binary.
    """
    try:
        readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError:
        return False
    try:
        return os.read(readable, len(_ELF)) != _ELF
    finally:
        os.close(readable)
