"""The machine's directories, and the removal of what a killed supervisor has left in them."""

from __future__ import annotations

import os

from jobworker.spool.removal import remove_tree
from jobworker.supervisor.names import MACHINE_SHM, MACHINE_TMP, shared_name


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
