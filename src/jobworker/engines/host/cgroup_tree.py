"""The directories of cgroups: from ``/proc/self/cgroup`` (cgroups(7)) and what is mounted. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from jobworker.engines.host.mountinfo import Mount


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
    usual_last = sorted(mounted, key=_is_usual)
    for mount in reversed(usual_last):
        if _shows(mount, controller) and (found := directory(mount, path)):
            return found
    return None


def _is_usual(mount: Mount) -> bool:
    """Whether a mount is at the usual place, and not in somebody's chroot, say."""
    return PurePosixPath(mount.point).is_relative_to("/sys/fs/cgroup")


def _shows(mount: Mount, controller: str) -> bool:
    if not controller:
        return mount.kind == "cgroup2"
    return mount.kind == "cgroup" and controller in mount.options
