"""Where cgroups are, from what the kernel says in /proc."""

from __future__ import annotations

import pytest

from jobworker.engines.host.cgroup_tree import directory, memberships, own_directory
from jobworker.engines.host.mountinfo import Mount, parse

HYBRID = rb"""23 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw shared:1 master:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\040fied\134x rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""

MEMBER = b"""9:name=systemd:/
4:memory:/docker/ab/in:side
1:cpu,cpuacct:/a b
0::/user.slice/app
"""


def test_memberships_may_hold_colons() -> None:
    found = memberships(MEMBER)
    assert found["memory"] == "/docker/ab/in:side"
    assert found["cpu"] == found["cpuacct"] == "/a b"
    assert found[""] == "/user.slice/app"


def test_each_controller_has_its_directory() -> None:
    mounted, member_of = parse(HYBRID), memberships(MEMBER)
    assert own_directory("memory", mounted, member_of) == "/sys/fs/cgroup/memory/in:side"
    assert own_directory("cpu", mounted, member_of) == "/sys/fs/cgroup/cpu,cpuacct/a b"
    assert own_directory("", mounted, member_of) == "/sys/fs/cgroup/uni fied\\x/user.slice/app"
    assert own_directory("pids", mounted, member_of) is None


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        ("/", "/", "/m"),
        ("/", "/a/b", "/m/a/b"),
        ("/a", "/a", "/m"),
        ("/a", "/ab", None),
        ("/", "/../b", None),
        ("/..", "/", None),
    ],
)
def test_what_the_mount_does_not_show_is_nowhere(
    root: str, path: str, expected: str | None
) -> None:
    assert directory(Mount("cgroup2", "/m", "none", root), path) == expected


def test_the_mount_on_top_counts() -> None:
    twice = parse(b"1 0 0:1 / /a rw - cgroup2 none rw\n2 0 0:1 / /b rw - cgroup2 none rw\n")
    assert own_directory("", twice, {"": "/"}) == "/b"


def test_the_usual_place_comes_before_somebody_elses_chroot() -> None:
    """Whoever prepares a chroot mounts the same hierarchy there, and later."""
    mounted = parse(
        b"9 2 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        b"8 2 0:38 / /srv/chroot/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    )
    assert own_directory("", mounted, {"": "/a"}) == "/sys/fs/cgroup/a"
    assert own_directory("", mounted[1:], {"": "/a"}) == "/srv/chroot/sys/fs/cgroup/a"
