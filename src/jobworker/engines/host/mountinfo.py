"""The mounted file systems, as the kernel tells of them (proc_pid_mountinfo(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobworker.supervisor import records

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_OPTIONAL_FIELDS = 6
"""The index of the first optional field in a line; a lone hyphen ends them."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its kind, where it is mounted and from which device.

    ``root`` is the directory of the file system that is seen at ``point``; ``options`` are
    those of the file system, among them the controllers of a cgroup v1 hierarchy.
    """

    kind: str
    point: str
    device: str
    root: str = "/"
    options: frozenset[str] = frozenset()
    number: int = 0

    def __str__(self) -> str:
        """As in "the ext4 file system at /var"."""
        return f"the {self.kind} file system at {self.point}"


def mounts() -> list[Mount]:
    """The mounts that this process sees; what lies below a later mount comes first."""
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123 - read as it is
        return parse(file.read())


def mount_of(directory: int) -> Mount:
    """The mount that an open directory is on. By its number: btrfs has no one device number."""
    info = records.read_text(f"/proc/self/fdinfo/{directory}")
    number = int(info.partition("\nmnt_id:")[2].split(None, 1)[0])
    for mount in mounts():
        if mount.number == number:
            return mount
    raise LookupError(f"mount {number} is not in /proc/self/mountinfo")


def parse(mountinfo: bytes) -> list[Mount]:
    """The mounts, in the order of the lines. Pure."""
    return [_mount(line.split(b" ")) for line in mountinfo.split(b"\n") if line]


def _mount(fields: list[bytes]) -> Mount:
    hyphen = fields.index(b"-", _OPTIONAL_FIELDS)
    kind, device, options = fields[hyphen + 1 : hyphen + 4]
    return Mount(
        kind.decode(),
        _plain(fields[4]),
        _plain(device),
        root=_plain(fields[3]),
        options=frozenset(_plain(options).split(",")),
        number=int(fields[0]),
    )


def _plain(field: bytes) -> str:
    """A field as it is: space, tab, newline and backslash stand there in octal."""
    plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
    return plain.decode("utf-8", "surrogateescape")
