"""The names that the server and the spawner's program share, beside those of the spool.

The program has them in ``native/``: what changes here has to change there.
"""

from __future__ import annotations

OWN_NAMESPACES = ("full", "namespaces")
"""The levels with PID, mount and IPC namespaces for each job: so with a ``/tmp`` of its own."""
OWN_UID = ("full", "uid")
"""The levels with a UID for each owner: so they need root."""

MACHINE_TMP = "/tmp"  # noqa: S108 - itself
MACHINE_SHM = "/dev/shm"  # noqa: S108 - itself

RUNTIME = (
    "/run/user",
    "/run/munge",
    "/run/screen",
    "/run/screens",
    "/run/uscreens",
)
"""The directories of logins, of a batch system's credentials, of terminals that are kept: no
job sees what is in them."""

ACCOUNTS = "accounts"
"""The directory in the state directory that has one for each user, with ``ACCOUNT_FILES`` in
it: the machine's with a line more, in which the user of a job has a name."""
ACCOUNT_FILES = ("passwd", "group")

NO_NETWORK = b"none"
"""An order's value of ``network`` for a job without one."""

MEMORY_STAGE = "memory limit"
"""The stage at which a program is not executed for want of memory under its own limit."""


def shared_name(job_id: str) -> str:
    """The name of a job's directory in one of the machine's."""
    return f"jobd-{job_id}"


def place_argument(limit: str, version: int, path: str) -> str:
    """An argument of the spawner: a directory in which jobs' cgroups for a limit are made."""
    return f"cgroup={limit}:{version}:{path}"


def commons_argument(version: int, memory: int, path: str) -> str:
    """An argument of the spawner: the cgroup of the jobs that have none of their own."""
    return f"commons={version}:{memory}:{path}"
