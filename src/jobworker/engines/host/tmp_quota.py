"""Whether the limit of ``tmp`` is enforced here, or what is missing. Probed by doing it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobworker.engines.host.enforcement import Enforcement
from jobworker.engines.host.mountinfo import Mount, mount_of
from jobworker.engines.host.probe import PREFIX, run_over_limit_of_tmp
from jobworker.errors import reason_of
from jobworker.model import Level
from jobworker.spool import quota
from jobworker.supervisor.names import MACHINE_TMP, OWN_UID
from jobworker.supervisor.records import SPOOL

_NEEDS_ROOT = "only root of the machine can limit what is stored (CAP_SYS_ADMIN)"
_RUN_AS_ROOT = (
    "run the server as root, with its state directory on ext4 mounted with prjquota or on XFS "
    "mounted with pquota"
)
_NEEDS_KERNEL = "this kernel has no quotactl_fd (Linux 5.14, with CONFIG_QUOTACTL)"
_SUITABLE = "is on ext4 mounted with prjquota, or on XFS mounted with pquota"

_NO_DESCRIPTOR = -1
_NO_QUOTA = (errno.ENOSYS, errno.ESRCH, errno.EOPNOTSUPP, errno.ENOTTY)
"""The errors by which the kernel says that a file system keeps no such quota, or none now."""

_SIZE = 1 << 20


def tmp_row(level: Level, state: Path) -> Enforcement:
    """The enforcement of ``tmp`` at a level of containment, with this state directory.

    For a directory that is not there yet, the one that it will be made in is tried.
    """
    try:
        return _tried(level, state)
    except OSError as error:
        return Enforcement("tmp", None, f"it cannot be tried ({reason_of(error)})")


def _tried(level: Level, state: Path) -> Enforcement:
    if level not in OWN_UID or os.geteuid() != 0:
        return Enforcement("tmp", None, f"{_NEEDS_ROOT}; this is level {level}", _RUN_AS_ROOT)
    if not _known_to_kernel():
        return Enforcement("tmp", None, _NEEDS_KERNEL)
    place = Path(MACHINE_TMP) if level == "uid" else _nearest(state / SPOOL)
    with _opened(place) as directory:
        missing = _missing(directory)
        what_to_do = hint(mount_of(directory), place)
    if missing:
        return Enforcement("tmp", None, missing, what_to_do)
    failure = run_over_limit_of_tmp(level, place)
    if failure:
        return Enforcement("tmp", None, f"a project quota does not keep it ({failure})", what_to_do)
    return Enforcement("tmp", "project quota")


def _nearest(path: Path) -> Path:
    path = path.absolute()
    return next(parent for parent in (path, *path.parents) if parent.is_dir())


@contextmanager
def _opened(place: Path) -> Iterator[int]:
    """A descriptor of a directory made in a place, and removed again."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place) as name:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield directory
        finally:
            os.close(directory)


def _known_to_kernel() -> bool:
    try:
        quota.enforced(_NO_DESCRIPTOR)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _missing(directory: int) -> str | None:
    """Limits a directory; returns None if that can be done, else why not."""
    limited = quota.TmpQuota(directory)
    try:
        if not quota.enforced(directory):
            return f"{mount_of(directory)} counts what a project stores and does not limit it"
        limited.limit(_SIZE, os.getpid())
    except OSError as error:
        return why_not(mount_of(directory), error)
    finally:
        limited.remove()
    return None


def why_not(mount: Mount, error: OSError) -> str:
    """The reason why a directory could not be limited, in a plain sentence. Pure."""
    if error.errno == errno.EPERM:
        return f"{_NEEDS_ROOT}, which this server is not"
    option = {"ext4": "prjquota", "xfs": "pquota"}.get(mount.kind)
    what = f"is not mounted with {option}" if option else "has no project quotas"
    if error.errno in _NO_QUOTA:
        return f"{mount} {what}"
    return f"{mount} could not limit a directory ({error.strerror})"


def hint(mount: Mount, place: Path) -> str:
    """The advice on enabling quotas on the file system. Pure."""
    match mount.kind:
        case "ext4":
            enable = f"tune2fs -O project,quota -Q prjquota {mount.device}"
            if mount.point == "/":
                return f"from a rescue system {enable}, and boot with rootflags=prjquota"
            return f"unmount it, {enable}, and mount it with -o prjquota"
        case "xfs":
            return (
                "mount it with -o pquota; a root file system takes rootflags=pquota on the "
                "kernel's command line"
            )
    return f"see that {place} {_SUITABLE}"
