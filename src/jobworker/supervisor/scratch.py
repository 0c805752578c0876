"""The places where a job may write: its temporary directory, and its shared memory.

With a mount namespace the first lies in the spool and is seen as ``/tmp``, and the second
is a directory in the machine's ``/dev/shm``, seen as the whole of it: a tmpfs of its own
for each job would cost a seventh of its start. Without one, the first lies in the
machine's ``/tmp``.
"""

from __future__ import annotations

import os

from . import records
from .removal import remove_tree
from .site import OWN_NAMESPACES, OWN_UID, Site

MACHINE_TMP = "/tmp"  # noqa: S108 - itself
MACHINE_SHM = "/dev/shm"  # noqa: S108 - itself

REMOVAL = 60.0
"""Seconds that a supervisor takes at most for each directory: a few million files. Nobody
waits for it, as the end has been told. What is left then is the server's to remove."""


def shared_name(job_id: str) -> str:
    """The name of a job's directory in one of the machine's."""
    return f"jobd-{job_id}"


def make(site: Site, spool: int, job_id: str, uid: int, gid: int) -> int:
    """Makes a job's scratch directories; returns a descriptor of the temporary one."""
    if site.level not in OWN_NAMESPACES:
        machine_tmp = os.open(MACHINE_TMP, os.O_PATH | os.O_DIRECTORY)
        try:
            return _make(site, machine_tmp, shared_name(job_id), uid, gid)
        finally:
            os.close(machine_tmp)
    if site.shm is not None:
        os.close(_make(site, site.shm, shared_name(job_id), uid, gid))
    return _make(site, spool, records.TMP, uid, gid)


def _make(site: Site, parent: int, name: str, uid: int, gid: int) -> int:
    os.mkdir(name, 0o700, dir_fd=parent)
    directory = records.open_directory(name, parent)
    if site.level in OWN_UID:
        os.fchown(directory, uid, gid)
    return directory


def remove(site: Site, job_id: str) -> None:
    """Removes what ``make`` made, once no process of the job is left."""
    if site.level not in OWN_NAMESPACES:
        remove_left_over(job_id, REMOVAL)
        return
    if site.shm is not None:  # before the other, as it is memory
        remove_tree(shared_name(job_id), site.shm, REMOVAL)
    remove_tree(f"{job_id}/{records.TMP}", site.spool, REMOVAL)


def remove_left_over(job_id: str, seconds: float) -> None:
    """Removes what a killed supervisor has left in the machine's directories.

    Raises ``TimeoutError`` where one of them takes more than so many ``seconds``.
    """
    for place in (MACHINE_SHM, MACHINE_TMP):
        try:
            parent = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # a bare root may have no /dev/shm
        try:
            remove_tree(shared_name(job_id), parent, seconds)
        finally:
            os.close(parent)
