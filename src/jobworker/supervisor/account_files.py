"""The job's own ``/etc/passwd`` and ``/etc/group``, in which its user has a name.

The server makes them, the machine's with a line more, once for each user and not for each
job (``engines.local.account_files``); they are put in place by a mount each.
"""

from __future__ import annotations

import os

from . import kernel

DIRECTORY = "accounts"
"""The directory in the state directory that has one for each user, with ``FILES`` in it."""

FILES = ("passwd", "group")

_ENOENT = 2
_TRIES = 100
"""Most attempts to mount a file. One that is replaced between the look for it and its mount is
ENOENT, as it has no name any more; by then there is another one of that name."""


_MOST = 1024
"""Users whose mounts are kept."""

_laid_out: dict[bytes, list[kernel.MountCall]] = {}


def mounts_of(user: bytes) -> list[kernel.MountCall]:
    """The mounts of a user's files, laid out once: in the spawner, whose memory is its own."""
    if len(_laid_out) > _MOST:
        _laid_out.clear()
    if user not in _laid_out:
        directory = f"{DIRECTORY}/{os.fsdecode(user)}"
        _laid_out[user] = [
            kernel.mount_call(f"{directory}/{name}", f"/etc/{name}", None, kernel.MS_BIND)
            for name in FILES
        ]
    return _laid_out[user]


def put_in_place(mounts: list[kernel.MountCall]) -> None:
    """Covers the machine's files with those of a user, for this mount namespace."""
    for call in mounts:
        for _ in range(_TRIES):
            errno = kernel.try_mount(call)
            if errno != _ENOENT:
                break
        if errno:
            raise OSError(errno, os.strerror(errno), call[1])
