"""Walls a job off: the flags to clone a supervisor with, and the file system it sees.

Everything here runs in the supervisor, before the program is forked. Any failure
raises ``OSError`` and the program is not run.
"""

from __future__ import annotations

import os

from . import kernel, records
from .account_files import put_in_place
from .scratch import MACHINE_SHM, MACHINE_TMP, shared_name
from .site import OWN_NAMESPACES, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .launch import Order
    from .walls import Walls

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


def enter_file_system(site: Site, walls: Walls, job_id: str, order: Order) -> None:
    """Gives this mount namespace what is the job's own, and covers what no job may see.

    The ``hidden`` places of an order are in the home directory of an account that is not the
    server's; by its ``account_files`` the job's user has a name. With the
    server's own UID the job could write whatever the server can, so at level ``namespaces``
    all else is read-only.
    """
    walls.lay_in_job()
    if order.hidden:
        _cover_in_home(order.hidden, order.uid)
    put_in_place(order.account_files)
    _bind(f"{records.SPOOL}/{job_id}/{records.TMP}", MACHINE_TMP)
    writable = [MACHINE_TMP]
    if site.shm is not None:
        _bind(f"{MACHINE_SHM}/{shared_name(job_id)}", MACHINE_SHM)
        writable.append(MACHINE_SHM)
    if site.level == "namespaces":
        kernel.make_read_only("/")
        for path in writable:
            kernel.make_writable(path)
    for call in walls.inner:
        kernel.perform_mount(call)


def _cover_in_home(paths: list[bytes], uid: int) -> None:
    """Covers what the paths lead to, where it is the account's.

    Its jobs may write there, and must not have something of the machine's covered for the
    next one by a link to it.
    """
    from .walls import cover_by_path  # noqa: PLC0415 - loaded by the spawner, see there

    for path in paths:
        try:
            place = os.open(path, os.O_PATH)
        except OSError:
            continue  # nothing that the job could open
        try:
            if os.fstat(place).st_uid == uid:
                cover_by_path(f"/proc/self/fd/{place}")
        finally:
            os.close(place)


def _bind(directory: str, target: str) -> None:
    kernel.mount(directory, target, None, kernel.MS_BIND)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
