"""The places that show what is hidden, told from the table of mounts (T61)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import native

pytestmark = native.needs_compiler

Mount = tuple[str, str, str, str]
ROOT = ("254:0", "/", "/", "ext4")
RUN = ("0:25", "/", "/run", "tmpfs")
LOGIN = ("0:40", "/", "/run/user/1000", "tmpfs")
OWN = [("0:24", "/", "/dev/pts", "devpts"), ("0:20", "/", "/dev/mqueue", "mqueue")]
MACHINE = [ROOT, RUN, LOGIN, *OWN]
STATE = "/var/lib/jobd"
RUNTIME = ["/run/user", "/run/munge", "/run/screen", "/run/screens", "/run/uscreens"]


def table(mounts: list[Mount]) -> bytes:
    """The text of proc_pid_mountinfo(5)."""
    lines = []
    for number, (device, root, point, kind) in enumerate(mounts):
        names = [
            name.replace("\\", "\\134").replace(" ", "\\040").replace("\n", "\\012")
            for name in (root, point)
        ]
        more = "shared:1 " * (number % 3)
        lines.append(f"{number} 1 {device} {' '.join(names)} rw {more}- {kind} none rw\n")
    return "".join(lines).encode()


def covered(mounts: list[Mount], state: str, hidden: list[str]) -> list[str]:
    """All that is covered of a machine with these mounts."""
    told = native.FieldsOut()
    words = native.words([path.encode() for path in hidden])
    mountinfo = os.memfd_create("mountinfo", 0)
    try:
        os.write(mountinfo, table(mounts))
        found = native.library().view_covers(
            mountinfo, state.encode(), words, len(hidden), told.reference
        )
        assert found == 0
    finally:
        os.close(mountinfo)
    return [value.decode() for _, value in told.fields()]


def elsewhere(mounts: list[Mount], hidden: list[str] | None = None) -> list[str]:
    """What is covered beside what is by its name."""
    found = covered(mounts, STATE, hidden or [])
    named = [*(hidden or []), *RUNTIME]
    assert found[: len(named)] == named
    return [path for path in found[len(named) :] if not path.startswith("/run/slurm")]


@pytest.mark.parametrize(
    ("mount", "found"),
    [
        (("254:0", "/", "/mnt", "ext4"), ["/mnt/var/lib/jobd"]),
        (("254:0", "/var/lib", "/srv/lib", "ext4"), ["/srv/lib/jobd"]),
        (("254:0", STATE, "/srv/state", "ext4"), ["/srv/state"]),
        (("254:0", f"{STATE}/spool", "/srv/spool", "ext4"), ["/srv/spool"]),
        (("254:0", "/var/lib/jobd2", "/srv/other", "ext4"), []),
        (("254:1", "/", "/mnt", "ext4"), []),
        (("0:40", "/", "/srv/login", "tmpfs"), ["/srv/login"]),
        (("0:40", "/bus", "/srv/bus", "tmpfs"), ["/srv/bus"]),
        (("0:25", "/munge", "/srv/munge", "tmpfs"), ["/srv/munge"]),
        (("0:25", "/", "/srv/run", "tmpfs"), [f"/srv{path}" for path in RUNTIME]),
    ],
)
def test_a_mount_that_shows_what_is_hidden(mount: Mount, found: list[str]) -> None:
    assert elsewhere([*MACHINE, mount]) == found


def test_what_the_server_hides_is_found_elsewhere_too() -> None:
    hidden = "/etc/jobd/secret"
    assert elsewhere([*MACHINE, ("254:0", "/etc", "/srv/etc", "ext4")], [hidden]) == [
        "/srv/etc/jobd/secret"
    ]


def test_what_lies_in_the_state_directory_is_hidden_with_it() -> None:
    """And the state directory is not among what is covered by its name."""
    found = covered([*MACHINE, ("254:0", "/", f"{STATE}/spool", "ext4")], STATE, [STATE])
    assert not any(path.startswith(STATE) for path in found)


def test_of_mounts_at_one_point_the_last_holds_what_is_seen_there() -> None:
    other = ("8:1", "/", "/var/lib", "xfs")
    again = ("8:2", "/", "/var/lib", "xfs")
    shown = elsewhere([*MACHINE, other, again, ("8:2", "/", "/mnt", "xfs")])
    assert shown == ["/mnt/jobd"]


@pytest.mark.parametrize("kind", ["devpts", "mqueue"])
def test_instances_of_others_are_found_wherever_they_are(kind: str) -> None:
    mounts = [*MACHINE, ("0:50", "/", "/srv/chroot/dev", kind)]
    assert elsewhere(mounts) == ["/srv/chroot/dev"]


def parsed(text: bytes) -> list[tuple[bytes, ...]]:
    told = native.FieldsOut(1 << 20)
    assert native.library().view_mounts(text, told.reference) == 0
    values = [value for _, value in told.fields()]
    return list(zip(*[iter(values)] * 4, strict=True))


def test_the_table_is_read_with_names_as_they_are() -> None:
    line = rb"36 27 0:31 /a\040b /mnt/x\011y\134z rw,relatime shared:1 - tmpfs some\040name rw"
    assert parsed(line + b"\n") == [(b"0:31", b"/a b", b"/mnt/x\ty\\z", b"tmpfs")]


def test_a_backslash_before_digits_is_itself() -> None:
    """The kernel's own text for a directory that is called ``\\040``."""
    assert parsed(rb"1 1 0:1 / /mnt/\134040 rw - tmpfs none rw")[0][2] == rb"/mnt/\040"


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"-", b" - ", b"1 2 0:3 / - tmpfs", b"1 2 0:3 / /a rw -", b"1 2 0:3 / /a - "],
)
def test_a_line_that_is_none_is_left_out(line: bytes) -> None:
    whole = b"1 1 0:1 / /mnt rw - tmpfs none rw"
    assert parsed(b"\n".join([line, whole, line, whole])) == [(b"0:1", b"/", b"/mnt", b"tmpfs")] * 2


def test_the_table_of_this_machine_is_read_whole(tmp_path: Path) -> None:
    text = Path("/proc/self/mountinfo").read_bytes()
    assert len(parsed(text)) == text.count(b"\n")
    (tmp_path / "long").write_bytes(text * (200_000 // len(text) + 1))
    told = native.FieldsOut()
    with (tmp_path / "long").open("rb") as mountinfo:
        descriptor = mountinfo.fileno()
        words = native.words([])
        library = native.library()
        assert library.view_covers(descriptor, b"/none", words, 0, told.reference) == 0


# The same decision in a few lines of Python.


def is_below(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer.rstrip("/") + "/")


def joined(base: str, path: str, outer: str) -> str:
    return (base.rstrip("/") + path[len(outer.rstrip("/")) :]).rstrip("/") or "/"


def shown_by(mounts: list[Mount], device: str, place: str) -> list[str]:
    found = []
    for other, root, point, _ in mounts:
        if other == device and is_below(place, root):
            found.append(joined(point, place, root))
        elif other == device and is_below(root, place):
            found.append(point)
    return found


def seen_at(mounts: list[Mount], path: str) -> list[tuple[str, str]]:
    below = [(device, root) for device, root, point, _ in mounts if is_below(point, path)]
    holding = [mount for mount in mounts if is_below(path, mount[2])]
    if holding:
        device, root, point, _ = max(reversed(holding), key=lambda mount: len(mount[2]))
        below.append((device, joined(root, path, point)))
    return below


def modelled(mounts: list[Mount], hidden: list[str]) -> list[str]:
    own = {"devpts": "/dev/pts", "mqueue": "/dev/mqueue"}
    found = [point for *_, point, kind in mounts if own.get(kind, point) != point]
    for path in hidden:
        for device, place in seen_at(mounts, path):
            found += shown_by(mounts, device, place)
    return [path for path in found if not any(is_below(path, outer) for outer in hidden)]


PATHS = st.lists(st.sampled_from(["a", "b", "aa", "x y", "run", "user", "\\040"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
MOUNTS = st.lists(
    st.tuples(
        st.sampled_from(["0:1", "0:2", "0:10"]),
        PATHS,
        PATHS,
        st.sampled_from(["ext4", "devpts", "mqueue"]),
    ),
    max_size=8,
)


@given(MOUNTS, PATHS, st.lists(PATHS, max_size=3))
@settings(deadline=None)
def test_any_table_is_judged_as_by_the_model(
    mounts: list[Mount], state: str, hidden: list[str]
) -> None:
    named = [path for path in hidden if path != state] + RUNTIME
    found = covered(mounts, state, hidden)
    assert found[: len(named)] == named
    rest = [path for path in found[len(named) :] if not path.startswith("/run/slurm")]
    assert sorted(rest) == sorted(modelled(mounts, [state, *named]))


def test_a_table_that_cannot_be_read_is_an_error() -> None:
    told = native.FieldsOut()
    words = native.words([])
    assert native.library().view_covers(-1, b"/none", words, 0, told.reference) == -1
    assert ctypes.get_errno() != 0
