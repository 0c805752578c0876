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


def put_in_place(user: bytes) -> None:
    """Covers the machine's files with those of ``user``, for this mount namespace."""
    for name in FILES:
        source = f"{DIRECTORY}/{os.fsdecode(user)}/{name}"
        kernel.perform_mount(kernel.mount_call(source, f"/etc/{name}", None, kernel.MS_BIND))
