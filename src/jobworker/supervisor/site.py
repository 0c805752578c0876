"""What is the same for every job that one spawner starts."""

from __future__ import annotations

import os

from . import kernel, records, signals

OWN_NAMESPACES = ("full", "namespaces")
OWN_UID = ("full", "uid")


class Site:
    """The level of containment, the directories to work in, and what to hide.

    Descriptors are opened once, here: in a job's mount namespace the paths are covered.
    What is bind-mounted is named relative to the working directory instead, which is
    the state directory: a clone's working directory moves along into its own mount
    namespace, while a descriptor stays in the old one and cannot be mounted from.
    """

    def __init__(self, level: str, state: str, hidden: list[str]) -> None:
        os.chdir(state)
        self.level = level
        self.hidden = hidden
        self.user = (os.geteuid(), os.getegid())
        self.boot_id = records.boot_id()
        self.spool = records.open_directory(records.SPOOL)
        self.signals = kernel.signal_fd(*signals.WAKING)
        self.shm = _open_if_there("/dev/shm")  # noqa: S108 - itself


def _open_if_there(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
