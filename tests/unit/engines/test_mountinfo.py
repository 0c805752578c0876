"""What is mounted where, from what the kernel says in /proc."""

from __future__ import annotations

import os
from pathlib import Path

from jobworker.engines.host.mountinfo import Mount, mount_of, parse

MOUNTINFO = rb"""21 1 0:20 / / rw,relatime shared:1 master:2 - overlay overlay rw,lowerdir=/a
36 21 98:0 /mnt1 /srv/with\040space rw,noatime - xfs /dev/mapper/a-b rw,noquota
361 21 98:1 / /a\134b rw - ext4 /dev/sda2 rw
"""


def test_every_mount_is_read_with_its_odd_names() -> None:
    assert parse(MOUNTINFO) == [
        Mount("overlay", "/", "overlay", options=frozenset({"rw", "lowerdir=/a"}), number=21),
        Mount(
            "xfs",
            "/srv/with space",
            "/dev/mapper/a-b",
            root="/mnt1",
            options=frozenset({"rw", "noquota"}),
            number=36,
        ),
        Mount("ext4", "/a\\b", "/dev/sda2", options=frozenset({"rw"}), number=361),
    ]


def test_a_name_that_is_not_utf_8_comes_back_as_it_was() -> None:
    (mount,) = parse(b"1 0 0:1 / /a\xff\r rw - cgroup2 none rw\n")
    assert mount.point.encode("utf-8", "surrogateescape") == b"/a\xff\r"


def test_the_mount_of_a_directory_is_found(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        found = mount_of(directory)
    finally:
        os.close(directory)
    assert tmp_path.is_relative_to(found.point)
