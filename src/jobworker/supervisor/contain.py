"""Walls a job off: the flags to clone a supervisor with, and the file system it sees.

Everything here runs in the supervisor, before the program is forked. Any failure
raises ``OSError`` and the program is not run.
"""

from __future__ import annotations

import os

from . import account_files, kernel, records
from .scratch import MACHINE_SHM, MACHINE_TMP, shared_name
from .site import OWN_NAMESPACES, Site

CLONE_FLAGS = {
    "full": kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC,
    "namespaces": kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWIPC,
    "uid": 0,
    "basic": 0,
}

_EPERM = 1
_PRIVATE = kernel.MS_REC | kernel.MS_PRIVATE
_HARDENED = kernel.MS_NOSUID | kernel.MS_NODEV


def clone_flags(level: str, *, offline: bool) -> int:
    """The flags to clone a supervisor with; if ``offline``, its job has no network."""
    if not offline:
        return CLONE_FLAGS[level]
    if level not in OWN_NAMESPACES:
        raise OSError(_EPERM, f"no network namespaces at level {level}")
    return CLONE_FLAGS[level] | kernel.CLONE_NEWNET


def map_own_user(site: Site) -> None:
    """Maps the server's own user and group to themselves, and nothing else.

    An unprivileged process may map only itself, and its group only with setgroups(2)
    denied (user_namespaces(7)). A limit of 0 then keeps the job from making user
    namespaces of its own, in which it would have every capability.
    """
    uid, gid = site.user  # before the map, geteuid would say the overflow user here
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _write("/proc/sys/user/max_user_namespaces", "0")


def enter_file_system(site: Site, job_id: str, account: bytes | None) -> None:
    """Gives this mount namespace its own ``/proc`` and scratch; hides the server's files.

    With the server's own UID the job could write whatever the server can, so at level
    ``namespaces`` all else is read-only. ``account`` names the files in which the job's user
    has a name; None leaves the machine's.
    """
    kernel.mount("none", "/", None, _PRIVATE)
    if account is not None:
        account_files.put_in_place(account)
    _bind(f"{records.SPOOL}/{job_id}/{records.TMP}", MACHINE_TMP)
    own = [MACHINE_TMP]
    if site.shm is not None:
        _bind(f"{MACHINE_SHM}/{shared_name(job_id)}", MACHINE_SHM)
        own.append(MACHINE_SHM)
    if site.level == "namespaces":
        kernel.make_read_only("/")
        for path in own:
            kernel.make_writable(path)
    for path in site.hidden:
        _hide(path)
    kernel.mount("proc", "/proc", "proc", _HARDENED | kernel.MS_NOEXEC)


def _hide(path: str) -> None:
    """Covers a directory with an empty one that cannot be written."""
    if not os.path.isdir(path):
        return
    _bind(records.EMPTY, path)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _HARDENED
    kernel.mount(None, path, None, flags)


def _bind(directory: str, target: str) -> None:
    kernel.mount(directory, target, None, kernel.MS_BIND)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
