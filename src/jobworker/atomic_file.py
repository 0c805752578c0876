"""Replaces a file whole: whoever reads it finds the old one or the new one, never a part.

What is new is written beside it under a dot-name and renamed, so a writer that is killed
leaves nothing but a draft, which the next one removes. Writers of one file take turns: a
lock is the caller's affair. The commands of users import this, so it imports ``os`` alone.
"""

from __future__ import annotations

import os

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replace(path: str, data: bytes, *, durable: bool = True, dir_fd: int | None = None) -> None:
    """Puts ``data`` in the place of the file at ``path``, with mode 0600; raises ``OSError``.

    Where it is ``durable``, it outlives a power cut once this returns. A relative ``path``
    starts at the directory ``dir_fd``, if that is given.
    """
    draft, descriptor = begin(path, dir_fd)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(descriptor)
    os.rename(draft, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    if durable:
        sync_directory_of(path, dir_fd)


def begin(path: str, dir_fd: int | None = None) -> tuple[str, int]:
    """The path and the descriptor of an empty draft, to be renamed to ``path`` by the caller."""
    directory, name = os.path.split(path)
    draft = os.path.join(directory, f".{name}")
    try:
        os.unlink(draft, dir_fd=dir_fd)  # of a writer that was killed
    except FileNotFoundError:
        pass
    return draft, os.open(draft, _CREATE, 0o600, dir_fd=dir_fd)


def sync_directory_of(path: str, dir_fd: int | None = None) -> None:
    """Makes a rename to ``path`` durable: it is an entry of the directory."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    directory = os.open(os.path.dirname(path) or ".", flags, dir_fd=dir_fd)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
