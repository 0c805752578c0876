"""The file system that a directory is on, as the kernel tells it (proc_pid_mountinfo(5))."""

from __future__ import annotations

from dataclasses import dataclass

from jobworker.engines.host.cgroup_tree import plain_path
from jobworker.supervisor import records

_OPTIONAL_FIELDS = 6
"""The index of the first optional field in a line of mountinfo; a lone hyphen ends them."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The kind of a mounted file system, and where and from which device it is mounted."""

    kind: str
    point: str
    device: str

    def __str__(self) -> str:
        """As in "the ext4 file system at /var"."""
        return f"the {self.kind} file system at {self.point}"


def file_system_of(directory: int) -> FileSystem:
    """The file system of an open directory. By its mount: btrfs has no one device number."""
    info = records.read_text(f"/proc/self/fdinfo/{directory}")
    mount_id = info.partition("\nmnt_id:")[2].split(None, 1)[0]
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123 - read as it is
        return found_in(file.read(), mount_id.encode())


def found_in(mountinfo: bytes, mount_id: bytes) -> FileSystem:
    """The file system of a mount, by its ID; raises ``LookupError``. Pure."""
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if fields[0] == mount_id:
            kind, device = fields[fields.index(b"-", _OPTIONAL_FIELDS) + 1 :][:2]
            return FileSystem(kind.decode(), plain_path(fields[4]), plain_path(device))
    raise LookupError(f"no mount {mount_id!r}")
