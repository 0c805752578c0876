"""Seal a job: what it can never take off again, nor anything that it executes."""

from __future__ import annotations

from . import kernel
from .site import Site


def seal(site: Site) -> None:
    """Seal this process, which is about to execute a program, or to spawn one.

    No privileges by exec, the filter of system calls, a Landlock domain of its own. All
    of it is inherited, and nothing that attending a job takes is denied: its processes
    are in the domain too, and files and open sockets are left alone. Raises ``OSError``,
    and the program must not be run then; at level ``basic`` only the first is asked for.
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if site.domain is not None:
        kernel.landlock_enter(site.domain)
    if site.filter is not None:
        site.filter.install()
