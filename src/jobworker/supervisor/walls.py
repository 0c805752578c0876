"""The mounts that wall a job off: what is covered, what is read-only, what is its own.

They are laid out in the spawner, as the arguments of mount(2): its memory is its own, while
a supervisor would copy a page for most of the objects that it takes.
"""

from __future__ import annotations

import os

from . import kernel, records
from .covers import Covers

READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""The part of ``/proc`` by which the machine is changed, as the OCI's runtimes have it."""

FROZEN = ("cgroup", "cgroup2")
"""The file systems that are read-only wherever they are: an account may have cgroups, such
as those of its logins, and end by them what a job cannot signal."""

OWN = (
    ("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0600,max=64"),
    ("/dev/mqueue", "mqueue", ""),
)
"""The file systems of which a job has an instance of its own, where the machine has one.

On the machine's devpts it would find the terminals of its account, and could take all that
there are. In its own it gets ``max``, and never the last 1,024 of the machine, which are
kept for the first mount namespace (``pty_reserve`` of ``fs/devpts/inode.c``).
"""

PROPAGATION = {
    "full": kernel.MS_REC | kernel.MS_SLAVE,
    "namespaces": kernel.MS_REC | kernel.MS_PRIVATE,
}
"""The job's part in what the machine mounts and unmounts later.

A slave lets go of what the machine unmounts, and what is mounted later over a covered place
comes to lie below the cover. It would not be read-only, though: so not at ``namespaces``.
"""

_CGROUPS = "/sys/fs/cgroup"
_ENOENT = 2

_NO_PROGRAMS = kernel.MS_NOSUID | kernel.MS_NOEXEC
_HARDENED = _NO_PROGRAMS | kernel.MS_NODEV
_FREEZE = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _HARDENED


class Walls:
    """The mounts of jobs at a level, with ``hidden`` covered.

    ``covers`` are to be tried in turn: what is not there, or lies in a place that is covered
    already, needs none; the same goes for ``frozen``, what is made read-only. ``inner`` come
    last: the instances of the job's own.
    """

    def __init__(self, level: str, state: str, hidden: list[str]) -> None:
        self._covers = Covers(state, hidden)
        self._level = level
        self.first = kernel.mount_call("none", "/", None, PROPAGATION[level])
        self.state = cover(state)
        self._lay_out()
        self.inner = _own_instances()

    def look(self) -> None:
        """Looks whether the machine has more to cover by now."""
        if self._covers.changed():
            self._covers.look()
            self._lay_out()

    def _lay_out(self) -> None:
        self.covers = [cover(path) for path in self._covers.paths]
        # At ``namespaces`` all is read-only.
        points = self._covers.points(FROZEN) if self._level == "full" else []
        below = [path for path in points if path.startswith(f"{_CGROUPS}/")]
        # With v1 there are a dozen, for each of which a call is dear.
        self.frozen_tree = _CGROUPS if len(below) > 1 and _can_freeze_trees() else None
        single = [path for path in points if not (self.frozen_tree and path in below)]
        self.frozen = [kernel.mount_call(None, path, None, _FREEZE) for path in single]


def _can_freeze_trees() -> bool:
    try:
        kernel.make_read_only("")
    except OSError as error:
        return error.errno == _ENOENT
    return False


def cover(path: str) -> kernel.MountCall:
    """A cover for a directory: an empty one.

    The job cannot write to that: it is root's or, at ``namespaces``, read-only.
    """
    return kernel.mount_call(records.EMPTY, path, None, kernel.MS_BIND)


def cover_for_file(path: bytes) -> kernel.MountCall:
    """A cover for what is no directory: nothing can be read from it, nor connect to it."""
    return (b"/dev/null", path, None, kernel.MS_BIND, None)


def _own_instances() -> list[kernel.MountCall]:
    calls = [
        kernel.mount_call(kind, path, kind, _NO_PROGRAMS, options)
        for path, kind, options in OWN
        if os.path.isdir(path)
    ]
    calls.append(kernel.mount_call("proc", "/proc", "proc", _HARDENED))
    there = [path for path in READ_ONLY if os.path.exists(path)]
    calls += [_bind(path, path) for path in there]
    return calls + [kernel.mount_call(None, path, None, _FREEZE) for path in there]


def _bind(source: str, target: str) -> kernel.MountCall:
    return kernel.mount_call(source, target, None, kernel.MS_BIND)
