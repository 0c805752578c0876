"""The places that show what is hidden, told from the table of mounts (T61)."""

from __future__ import annotations

import pytest

from jobworker.supervisor.covers import elsewhere, parsed

Mount = tuple[str, str, str, str]
ROOT = ("254:0", "/", "/", "ext4")
RUN = ("0:25", "/", "/run", "tmpfs")
LOGIN = ("0:40", "/", "/run/user/1000", "tmpfs")
OWN = [("0:24", "/", "/dev/pts", "devpts"), ("0:20", "/", "/dev/mqueue", "mqueue")]
MACHINE = [ROOT, RUN, LOGIN, *OWN]
STATE = "/var/lib/jobd"


@pytest.mark.parametrize(
    ("mount", "hidden", "found"),
    [
        (("254:0", "/", "/mnt", "ext4"), STATE, ["/mnt/var/lib/jobd"]),
        (("254:0", "/var/lib", "/srv/lib", "ext4"), STATE, ["/srv/lib/jobd"]),
        (("254:0", STATE, "/srv/state", "ext4"), STATE, ["/srv/state"]),
        (("254:0", f"{STATE}/spool", "/srv/spool", "ext4"), STATE, ["/srv/spool"]),
        (("254:0", "/var/lib/jobd2", "/srv/other", "ext4"), STATE, []),
        (("254:1", "/", "/mnt", "ext4"), STATE, []),
        (("0:40", "/", "/srv/login", "tmpfs"), "/run/user", ["/srv/login"]),
        (("0:40", "/bus", "/srv/bus", "tmpfs"), "/run/user", ["/srv/bus"]),
        (("0:25", "/munge", "/srv/munge", "tmpfs"), "/run/munge", ["/srv/munge"]),
        (("0:25", "/", "/srv/run", "tmpfs"), "/run/munge", ["/srv/run/munge"]),
    ],
)
def test_a_mount_that_shows_what_is_hidden(mount: Mount, hidden: str, found: list[str]) -> None:
    assert elsewhere([*MACHINE, mount], [hidden]) == found


def test_of_mounts_at_one_point_the_last_holds_what_is_seen_there() -> None:
    other = ("8:1", "/", "/var/lib", "xfs")
    again = ("8:2", "/", "/var/lib", "xfs")
    shown = elsewhere([*MACHINE, other, again, ("8:2", "/", "/mnt", "xfs")], [STATE])
    assert shown == ["/mnt/jobd"]


@pytest.mark.parametrize("kind", ["devpts", "mqueue"])
def test_instances_of_others_are_found_wherever_they_are(kind: str) -> None:
    mounts = [*MACHINE, ("0:50", "/", "/srv/chroot/dev", kind)]
    assert elsewhere(mounts, []) == ["/srv/chroot/dev"]


def test_the_table_is_read_with_names_as_they_are() -> None:
    line = r"36 27 0:31 /a\040b /mnt/x\011y\134z rw,relatime shared:1 - tmpfs some\040name rw"
    assert parsed(line + "\n") == [("0:31", "/a b", "/mnt/x\ty\\z", "tmpfs")]
