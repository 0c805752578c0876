"""The limit on a job's temporary directory, kept by a project quota.

The directory and all that is made below it belong to a project, by a number of the file
system's, and the file system bounds what a project stores: ext4 mounted with
``prjquota``, XFS mounted with ``pquota``. Only root of the machine may set that bound.

The owner of a file may put it into another project, and keep a directory from passing
its own on, unless it is in a user namespace (``fileattr_set_prepare`` in the kernel).
The filter of system calls keeps a job from that (ATTRIBUTES of ``seccomp.c``).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

FIRST, COUNT = 0x6A6F_0000, 0x1_0000
"""The projects that are ours. Few, and used again and again: XFS keeps a record of each
that ever was, 136 bytes (``xfs_dqblk``), which makes 9 MB of all of these."""

_TRIES = 1000
"""Attempts: so many jobs would have to be at neighbouring numbers for it to fail."""

_FILE = 4096
"""Bytes of the limit for each file. A file that holds anything takes as much, so that
only a job that makes empty ones meets the limit of files first: a million of them would
take no space that counts, and half a gigabyte of the disk."""

_FEWEST_FILES = 1024

_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C_581F, 0x401C_5820
"""``FS_IOC_FSGETXATTR`` and ``FS_IOC_FSSETXATTR`` of fs.h."""
_ATTRIBUTES = struct.Struct("=5I8s")
_INHERIT = 0x200

_GET_QUOTA, _SET_QUOTA, _GET_STATE = 0x80_0007, 0x80_0008, 0x5805
_BLOCK = 1024
_QUOTA = struct.Struct("=8QI4x")
"""``struct if_dqblk`` of quota.h: most blocks, hard and soft, and bytes in use; most
files, hard and soft, and files in use; the times of soft limits; the valid fields."""
_LIMITS = 5
_STATE_SIZE = 80
_STATE_VERSION = b"\1"
_ENFORCED = 0x20
"""``FS_QUOTA_PDQ_ENFD`` of dqblk_xfs.h."""

_EAGAIN = 11

_QUOTACTL_FD = 443
"""The number of quotactl_fd(2), Linux 5.14, on each machine that we know."""
_PROJECT = 2
"""``PRJQUOTA`` of quota.h."""

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


class TmpQuota:
    """The limit on one directory, until ``remove``."""

    def __init__(self, directory: int) -> None:
        self._directory = os.dup(directory)

    def limit(self, size: int, seed: int) -> None:
        """Puts the empty directory into a project that no other is in, and limits that.

        ``seed``, such as a supervisor's PID, makes those that begin at once differ. Raises
        ``OSError``; ``remove`` is due in any case.
        """
        for number in range(_TRIES):
            project = FIRST + (seed + number) % COUNT
            _put_into(self._directory, project)
            # Ours is in by now: another that comes at the same time sees it, as we see its.
            blocks, _, _, files_at_most, _, files, *_ = _usage(self._directory, project)
            if (blocks, files_at_most, files) == (0, 0, 1):
                break
        else:
            raise OSError(_EAGAIN, os.strerror(_EAGAIN), "no project of the file system is free")
        _set_limits(self._directory, project, size)

    def remove(self) -> None:
        """Lifts the limit, while there is a directory, which alone knows its project."""
        lift(self._directory)
        os.close(self._directory)


def lift(directory: int) -> None:
    """Lifts the limit on a directory, if it has one.

    A limit that cannot be lifted is on a file system that is broken, or read-only by
    now. It costs no more than a number that is not used again.
    """
    try:
        project = project_of(directory)
        if FIRST <= project < FIRST + COUNT:
            _set_limits(directory, project, 0)
    except OSError:
        return


def lift_left_over(name: str, parent: int | None = None) -> None:
    """Lifts the limit on a directory by its name, if it is there."""
    try:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        return  # it is gone, or the next call that opens it will report that
    lift(directory)
    os.close(directory)


def project_of(directory: int) -> int:
    """The project that a directory belongs to; 0 is none."""
    return _attributes(directory)[3]


def enforced(place: int) -> bool:
    """Whether the file system of ``place`` enforces such limits, and does not only count.

    Raises ``OSError`` where it does not even know them, or we may not ask.
    """
    _usage(place, FIRST)
    state = _project_quota(_GET_STATE, place, 0, _STATE_VERSION.ljust(_STATE_SIZE, b"\0"))
    return bool(struct.unpack_from("=H", state, 2)[0] & _ENFORCED)


def _put_into(directory: int, project: int) -> None:
    flags, extent, extents, _, cow_extent, rest = _attributes(directory)
    new = _ATTRIBUTES.pack(flags | _INHERIT, extent, extents, project, cow_extent, rest)
    fcntl.ioctl(directory, _SET_ATTRIBUTES, new)


def _attributes(directory: int) -> tuple[int, int, int, int, int, bytes]:
    data = bytearray(_ATTRIBUTES.size)
    fcntl.ioctl(directory, _GET_ATTRIBUTES, data)
    flags, extent, extents, project, cow_extent, rest = _ATTRIBUTES.unpack(data)
    return flags, extent, extents, project, cow_extent, rest


def _usage(place: int, project: int) -> tuple[int, ...]:
    try:
        return _QUOTA.unpack(_project_quota(_GET_QUOTA, place, project, bytes(_QUOTA.size)))
    except FileNotFoundError:  # XFS has never heard of it
        return (0,) * 9


def _set_limits(place: int, project: int, size: int) -> None:
    """Limits a project to ``size`` bytes, and to a number of files to match; 0 is no limit."""
    blocks = -(-size // _BLOCK)
    files = max(size // _FILE, _FEWEST_FILES) if size else 0
    limits = _QUOTA.pack(blocks, 0, 0, files, 0, 0, 0, 0, _LIMITS)
    _project_quota(_SET_QUOTA, place, project, limits)


def _project_quota(command: int, place: int, project: int, data: bytes) -> bytes:
    """Gets or sets a project quota on the file system of ``place``.

    Returns ``data`` as the kernel has filled it.
    """
    buffer = ctypes.create_string_buffer(data, len(data))
    number = ctypes.c_long(_QUOTACTL_FD)
    which = ctypes.c_long(command << 8 | _PROJECT)
    if _syscall(number, ctypes.c_long(place), which, ctypes.c_long(project), buffer) < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), "quotactl_fd")
    return buffer.raw
