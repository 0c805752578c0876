"""Removes a directory that a job could write in, however deep or odd it is.

It uses descriptors and ``O_NOFOLLOW``, and never ``..``: a process with a descriptor into
the tree could move a directory while we are in it, and ``..`` would then lead out.
"""

from __future__ import annotations

import os

from . import records


def remove_tree(name: str, parent: int) -> None:
    """Removes the directory ``name`` in ``parent``, if there is one, with all in it."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError:  # not empty, as a rule: whatever it is, the rmdir below meets it again
        top = _open(name, parent)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    """Empties ``top`` level by level, moving the directories of each level up into ``top``.

    So neither the depth of the tree nor the limit of open files matters.
    """
    moved = 0
    while directories := _unlink_files(top):
        for directory in directories:
            fd = _open(directory, top)
            try:
                for child in _unlink_files(fd):
                    _open_up(child, fd)
                    os.rename(child, f".removed-{moved}", src_dir_fd=fd, dst_dir_fd=top)
                    moved += 1
            finally:
                os.close(fd)
            os.rmdir(directory, dir_fd=top)


def _unlink_files(directory: int) -> list[str]:
    """Unlinks all but the directories; returns the names of these."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return directories


def _open(name: str, parent: int) -> int:
    _open_up(name, parent)
    return records.open_directory(name, parent)


def _open_up(name: str, parent: int) -> None:
    """Makes a directory accessible that a job of our own UID has closed to itself."""
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if mode & 0o700 != 0o700:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)
        finally:
            os.close(fd)
