"""The directories of cgroups: from ``/proc/self/cgroup`` and ``/proc/self/mountinfo``. Pure.

Formats: cgroups(7), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_OPTIONAL_FIELDS = 6
"""The index of the first optional field in a line of mountinfo; a lone hyphen ends them."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy: its version, which of its cgroups is at the mount point, and where.

    ``options`` name the controllers of a v1 hierarchy, among other things.
    """

    version: int
    root: str
    point: str
    options: frozenset[str]


def mounts(mountinfo: bytes) -> list[Mount]:
    """The cgroup hierarchies that are mounted; what lies below a later mount comes first."""
    found = []
    for line in mountinfo.splitlines():
        fields = line.split()
        hyphen = fields.index(b"-", _OPTIONAL_FIELDS)
        kind, _, options = fields[hyphen + 1 : hyphen + 4]
        if kind in (b"cgroup", b"cgroup2"):
            version = 2 if kind == b"cgroup2" else 1
            root, point = (plain_path(field) for field in fields[3:5])
            found.append(Mount(version, root, point, frozenset(options.decode().split(","))))
    return found


def plain_path(field: bytes) -> str:
    """A path unescaped: mountinfo has space, tab, newline and backslash in octal."""
    plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
    return plain.decode("utf-8", "surrogateescape")


def memberships(cgroup: bytes) -> dict[str, str]:
    """The path of our cgroup for each v1 controller, and for v2 under the empty name."""
    found = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(b":", 2)
        for controller in controllers.split(b","):
            found[controller.decode()] = path.decode("utf-8", "surrogateescape")
    return found


def directory(mount: Mount, path: str) -> str | None:
    """The directory of the cgroup ``path``; None if the mount shows another part of the tree."""
    try:
        below = PurePosixPath(path).relative_to(mount.root)
    except ValueError:
        return None
    if ".." in below.parts:  # outside of our cgroup namespace (cgroup_namespaces(7))
        return None
    return str(PurePosixPath(mount.point) / below)


def own_directory(controller: str, mounted: list[Mount], member_of: dict[str, str]) -> str | None:
    """The directory of our own cgroup of a v1 controller, or of v2 for the empty name; or None."""
    path = member_of.get(controller)
    if path is None:
        return None
    for mount in reversed(mounted):
        ours = mount.version == 2 if not controller else controller in mount.options
        if ours and (found := directory(mount, path)):
            return found
    return None
