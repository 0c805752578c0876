"""The mounts that wall a job off: what is covered, what is read-only, what is its own.

They are laid, or at least laid out as the arguments of mount(2), in the spawner: its memory is
its own, while a supervisor would copy a page for most of the objects that it takes.
"""

from __future__ import annotations

import os
import select

from . import kernel, records
from .covers import Covers
from .machine_mounts import opened

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
_ENOENT, _EACCES, _ENOTDIR, _EINVAL, _ELOOP = 2, 13, 20, 22, 40
_UNREACHABLE = (0, _ENOENT, _EACCES, _ELOOP)
"""Errors of a cover for a place that the job cannot reach either; 0, where it is covered."""

_NO_PROGRAMS = kernel.MS_NOSUID | kernel.MS_NOEXEC
_HARDENED = _NO_PROGRAMS | kernel.MS_NODEV
_FREEZE = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _HARDENED


class Walls:
    """The mounts of jobs at a level, with ``hidden`` covered.

    What is the same for all jobs is laid by whoever may, as seldom as possible: at ``full`` by
    the spawner, in a mount namespace of its own, of which each job gets a copy. Where that may
    not come back to the machine's, and at ``namespaces``, where it may mount nothing, it is by
    each job. ``inner`` come last, and in each job: the instances of its own.
    """

    def __init__(self, level: str, state: str, hidden: list[str]) -> None:
        self._covers = Covers(state, hidden)
        self._level = level
        self._propagation = kernel.mount_call("none", "/", None, PROPAGATION[level])
        self._state = _bind(records.EMPTY, state)
        self._machine = opened() if level == "full" else None
        self.inner = _own_instances()
        self.stand = False
        """Whether they are as the machine has it now; ``build`` sees to that."""

    def watch(self, poll: select.poll) -> None:
        """Has ``poll`` tell of all for which the walls would have to be built anew.

        Whatever else it tells must be registered before: the kernel looks in that order, so
        what comes before an order to start a job is told together with it.
        """
        self._covers.watch(poll)

    def take_notice(self) -> None:
        """Takes what was told: the walls are to be built anew for the next job.

        Those that stand are left at once, lest they keep what the machine unmounts.
        """
        self._covers.forget()
        self.stand = False
        if self._machine is not None:
            try:
                self._machine.enter()
            except OSError:
                return  # ``build`` tries it again, and no job starts without that

    def build(self) -> None:
        """Builds, in the spawner, what stands until it is told of a change, if it can be told."""
        self._covers.look()
        self._lay_out()
        if self._machine is not None:
            self._machine.enter_copy()
            self._lay()
        self.stand = self._covers.is_told

    def lay_in_job(self) -> None:
        """Lays in a job what the spawner could not."""
        if self._machine is None:
            self._lay()

    def _lay_out(self) -> None:
        self._places = [_bind(records.EMPTY, path) for path in self._covers.paths]
        # At ``namespaces`` all is read-only.
        points = self._covers.points(FROZEN) if self._level == "full" else []
        below = [path for path in points if path.startswith(f"{_CGROUPS}/")]
        # With v1 there are a dozen, for each of which a call is dear.
        self._frozen_tree = _CGROUPS if len(below) > 1 and _can_freeze_trees() else None
        single = [path for path in points if not (self._frozen_tree and path in below)]
        self._frozen = [kernel.mount_call(None, path, None, _FREEZE) for path in single]

    def _lay(self) -> None:
        kernel.perform_mount(self._propagation)
        # First, where the path still leads to it: without the empty directory this fails.
        kernel.perform_mount(self._state)
        # Each is tried: what is not there, or lies in a place that is covered, needs none.
        for call in self._places:
            cover(call)
        if self._frozen_tree is not None:
            kernel.make_read_only(self._frozen_tree)
        for call in self._frozen:
            _freeze(call)


def _can_freeze_trees() -> bool:
    try:
        kernel.make_read_only("")
    except OSError as error:
        return error.errno == _ENOENT
    return False


def cover_by_path(path: str) -> None:
    """Covers a place, as ``cover`` does."""
    cover(_bind(records.EMPTY, path))


def cover(call: kernel.MountCall) -> None:
    """Covers a place that a job could reach, be it a directory or not, by an empty one.

    The job cannot write to that: it is root's or, at ``namespaces``, read-only. From what is
    no directory nothing can be read then, nor can anything connect to it.
    """
    errno = kernel.try_mount(call)
    if errno == _ENOTDIR:
        errno = kernel.try_mount((b"/dev/null", *call[1:]))
    if errno not in _UNREACHABLE:
        raise OSError(errno, os.strerror(errno), call[1])


def _freeze(call: kernel.MountCall) -> None:
    """Makes a mount read-only, unless another one lies over it, or it is gone."""
    errno = kernel.try_mount(call)
    if errno not in (*_UNREACHABLE, _EINVAL):
        raise OSError(errno, os.strerror(errno), call[1])


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
