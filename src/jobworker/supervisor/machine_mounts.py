"""The machine's mount namespace, of which the spawner takes a copy for its jobs."""

from __future__ import annotations

import os

from . import kernel


class MachineMounts:
    """The mount namespace, root and working directory of this process when it was made."""

    def __init__(self) -> None:
        self._namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        self._root = os.open("/", os.O_PATH | os.O_DIRECTORY)
        self._here = os.open(".", os.O_PATH | os.O_DIRECTORY)

    def enter(self) -> None:
        """Moves this process back; a copy that it was in is gone, unless a job is in that.

        setns(2) moves the root as well, which a server may have another of.
        """
        kernel.enter_namespace(self._namespace, kernel.CLONE_NEWNS)
        os.fchdir(self._root)
        os.chroot(".")
        os.fchdir(self._here)

    def enter_copy(self) -> None:
        """Moves this process into a new copy, as the machine has it now."""
        self.enter()
        kernel.unshare(kernel.CLONE_NEWNS)


def opened() -> MachineMounts | None:
    """The machine's, where this process may come back to it; that takes no more than a try.

    It takes CAP_SYS_CHROOT, and CAP_SYS_ADMIN in the user namespace by which the mount namespace
    was made (setns(2)): the root of a container may have neither.
    """
    machine = MachineMounts()
    try:
        machine.enter()
    except PermissionError:
        return None
    return machine
