"""Removes what a job could write in, however deep, large or odd it is.

It uses descriptors and ``O_NOFOLLOW``, and never ``..``: a process with a descriptor into
the tree could move a directory while we are in it, and ``..`` would then lead out. Where
such a process goes on making files, as at level ``basic`` any job can in another's
directory, the time that a call may take is the only end.
"""

from __future__ import annotations

import os
import time

from jobworker.supervisor import records

_DEEPEST = 16
"""Levels that are gone down into, a descriptor each. What lies deeper is moved up first."""

_MOST_NAMES = 1000
"""Names in memory at once: a job may have made millions of directories."""

_ETIMEDOUT = 110
_TAKEN = (17, 20, 39)
"""EEXIST, ENOTDIR and ENOTEMPTY: what rename(2) says of a name that something has."""
_CHANGED = (2, 17, 20, 39, 40)
"""These, ENOENT and ELOOP: somebody else is at work in the directory, so it is looked at again."""


def remove_tree(name: str, parent: int, seconds: float) -> None:
    """Removes ``name`` in ``parent``, if it is there: a directory with all in it, or a file.

    Raises ``TimeoutError`` where something is left after ``seconds``; another call goes on.
    """
    until = time.monotonic() + seconds
    while not _removed(name, parent):
        try:
            top = _open(name, parent)
            try:
                _Removal(top, until).empty()
            finally:
                os.close(top)
        except OSError as error:
            if error.errno not in _CHANGED:
                raise
        _check(until)


def _removed(name: str, parent: int) -> bool:
    """Whether it is gone by now; a directory with something in it is not."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # a job may have put a file or a link in its place
        _unlink(name, parent)
    except OSError as error:
        if error.errno not in _CHANGED:
            raise
        return False
    return True


class _Removal:
    """The emptying of ``top``, which ends at ``until`` by the monotonic clock."""

    def __init__(self, top: int, until: float) -> None:
        self._top = top
        self._until = until
        self._moved = 0

    def empty(self, depth: int = 0, directory: int | None = None) -> None:
        """Empties ``top``, or a directory so many levels below it."""
        here = self._top if directory is None else directory
        while names := self._unlink_files(here):
            for name in names:
                _check(self._until)
                try:
                    self._remove(name, here, depth)
                except OSError as error:
                    if error.errno not in _CHANGED:
                        raise

    def _remove(self, name: str, parent: int, depth: int) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError:  # not empty, as a rule: whatever it is, the next rmdir meets it again
            if depth == _DEEPEST:
                self._move_up(name, parent)
                return
            directory = _open(name, parent)
            try:
                self.empty(depth + 1, directory)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=parent)

    def _move_up(self, name: str, parent: int) -> None:
        """Moves a directory into ``top``, by a name that the job has not given to anything."""
        _open_up(name, parent)
        while True:
            _check(self._until)
            free = f".removed-{self._moved}"
            self._moved += 1
            try:
                os.rename(name, free, src_dir_fd=parent, dst_dir_fd=self._top)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                return

    def _unlink_files(self, directory: int) -> list[str]:
        """Unlinks all but directories; returns the names of these, or of many of them."""
        directories: list[str] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                    if len(directories) == _MOST_NAMES:
                        break
                else:
                    _check(self._until)
                    _unlink(entry.name, directory)
        return directories


def _check(until: float) -> None:
    if time.monotonic() >= until:
        raise TimeoutError(_ETIMEDOUT, "too much is left of a job to remove it in one go")


def _unlink(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except (FileNotFoundError, IsADirectoryError):
        return  # somebody else has removed or replaced it


def _open(name: str, parent: int) -> int:
    _open_up(name, parent)
    return records.open_directory(name, parent)


def _open_up(name: str, parent: int) -> None:
    """Makes a directory accessible that a job of our own UID has closed to itself."""
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if mode & 0o700 != 0o700:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101 - by descriptor
        finally:
            os.close(fd)
