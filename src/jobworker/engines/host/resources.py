"""The size of this machine: the memory, processes and disk that there are for us."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from jobworker.engines.host.cgroup_tree import memberships, own_directory
from jobworker.engines.host.mountinfo import mounts

_MEMORY = {"": "memory.max", "memory": "memory.limit_in_bytes"}
_PROCESSES = {"": "pids.max", "pids": "pids.max"}
"""The file with a limit, by the controller of v1, or the empty name for v2."""


def memory() -> int:
    """Bytes: the machine's, or what the cgroups that we are in may hold."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(installed, *_limits(_MEMORY))


def processes() -> int:
    """As many processes as there can be at once besides those that we do not see."""
    most = [
        int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")
    ]
    if os.geteuid() != 0:
        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        most += [soft] if soft != resource.RLIM_INFINITY else []
    return min(*most, *_limits(_PROCESSES))


def disk(path: Path) -> int:
    """Bytes of the file system that a directory is on, or will be."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_frsize * found.f_blocks


def _limits(files: dict[str, str]) -> Iterator[int]:
    """The limits of the cgroups that we are in, and of those above."""
    try:
        mounted = mounts()
        member_of = memberships(Path("/proc/self/cgroup").read_bytes())
    except FileNotFoundError:  # a kernel without cgroups
        return
    for controller, name in files.items():
        own = own_directory(controller, mounted, member_of)
        for directory in () if own is None else (Path(own), *Path(own).parents):
            try:
                text = (directory / name).read_text(encoding="ascii").strip()
            except OSError:  # above the mount, or the root of the tree, which has none
                continue
            if text.isdecimal():
                yield int(text)
