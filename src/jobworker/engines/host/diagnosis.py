"""The explanation of a level of containment that does not work: the one thing that is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from jobworker.model import Level
from jobworker.supervisor.names import MACHINE_SHM, OWN_NAMESPACES

_CAPABILITIES: dict[Level, dict[str, int]] = {
    "full": {"CAP_SYS_ADMIN": 21, "CAP_SETUID": 7, "CAP_SETGID": 6, "CAP_KILL": 5},
    "uid": {"CAP_SETUID": 7, "CAP_SETGID": 6, "CAP_KILL": 5},
}
"""The capabilities that a level takes, by their numbers (linux/capability.h)."""

_SETTINGS = (
    ("user.max_user_namespaces", "0", "a number such as 15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)
"""The settings that can forbid unprivileged user namespaces: the value that does, and one
that does not. Debian has the second, Ubuntu the third."""

_NEEDS_MOUNT_POINT = (
    "the root directory is no mount point, as in a plain chroot; bind-mount it onto itself "
    "before the chroot (mount --bind DIR DIR)"
)
_NEEDS_SECCOMP = (
    "it needs seccomp filters, which this kernel (CONFIG_SECCOMP_FILTER), or what confines "
    "this process already, does not allow"
)
_NEEDS_SHM = f"{MACHINE_SHM} is there and cannot be written: it is to be a tmpfs with mode 1777"
_USER_NAMESPACES = "it needs unprivileged user namespaces"


def explain(level: Level, failure: str, proc: Path = Path("/proc")) -> str:
    """One plain sentence on why ``level`` does not work, where a try ended in ``failure``.

    ``failure`` begins with the step that failed; ``proc`` is where the kernel tells.
    """
    return f"{_cause(level, failure, proc)} ({failure})"


def _cause(level: Level, failure: str, proc: Path) -> str:
    if failure.startswith("seal"):
        return _NEEDS_SECCOMP
    if missing := ", ".join(_missing_capabilities(level, proc)):
        return f"it needs root, with {missing}"
    if level == "namespaces" and failure.startswith("clone"):
        return _no_user_namespaces(proc)
    if level in OWN_NAMESPACES and not _is_mount_point("/", proc):
        return _NEEDS_MOUNT_POINT
    if level in OWN_NAMESPACES and _is_unwritable(MACHINE_SHM):
        return _NEEDS_SHM
    return "trying it failed"


def _missing_capabilities(level: Level, proc: Path) -> Iterator[str]:
    """The capabilities that the level takes and that this process does not have."""
    effective = int(_field(proc, "CapEff") or "0", 16)
    for name, number in _CAPABILITIES.get(level, {}).items():
        if not effective >> number & 1:
            yield name


def _no_user_namespaces(proc: Path) -> str:
    """The one that forbids them, of all that can (user_namespaces(7))."""
    for name, forbids, allows in _SETTINGS:
        file = proc / "sys" / name.replace(".", "/")
        if file.exists() and file.read_text(encoding="ascii").strip() == forbids:
            return (
                f"{_USER_NAMESPACES}, which the setting {name} = {forbids} forbids; "
                f"it is to be {allows}"
            )
    if not _is_mount_point("/", proc):
        return f"{_USER_NAMESPACES}, which the kernel does not allow in a chroot"
    if _field(proc, "Seccomp") == "2":
        return f"{_USER_NAMESPACES}, which the filter of the container around it forbids"
    return f"{_USER_NAMESPACES}, which the kernel does not allow here, as in a chroot"


def _field(proc: Path, name: str) -> str:
    """A field of this process's status; empty where there is none (proc_pid_status(5))."""
    try:
        lines = (proc / "self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _is_mount_point(path: str, proc: Path) -> bool:
    """Whether something is mounted there, as ``os.path.ismount`` cannot tell of ``/``."""
    mounts = (proc / "self/mountinfo").read_bytes().splitlines()
    return any(mount.split()[4] == path.encode() for mount in mounts)


def _is_unwritable(directory: str) -> bool:
    allowed = os.access(directory, os.W_OK | os.X_OK, effective_ids=True)
    return Path(directory).is_dir() and not allowed
