"""The seal of a job: bounds that neither it nor any program of its can take off again."""

from __future__ import annotations

from . import kernel
from .site import Site


def seal(site: Site) -> None:
    """Seals this process, which is about to execute a program, or to spawn one.

    It gets no privileges by exec, the filter of system calls, a Landlock domain of its
    own. All of it is inherited, and denies nothing that attending a job takes: its
    processes are in the domain too, and files and open sockets are left alone. Raises
    ``OSError``, and the program must not run then; level ``basic`` asks for the first only.
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if site.domain is not None:
        kernel.landlock_enter(site.domain)
    if site.filter is not None:
        site.filter.install()
