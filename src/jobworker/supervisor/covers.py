"""The places of the machine that no job may see, as they stand when it starts.

Whoever has an account's UID has its sessions: a message bus that starts programs, agents
that sign with its keys, terminals to read typed lines from. Covered are places and not
what is in them, so that what a later login makes there is covered, too.

It is worked out in the spawner, whose memory is its own: a supervisor would copy pages for
it.
"""

from __future__ import annotations

import os
import select

from .watch import Watch

RUNTIME = (
    "/run/user",
    "/run/munge",
    "/run/screen",
    "/run/screens",
    "/run/uscreens",
)
"""The directories of logins, of a batch system's credentials, of terminals that are kept."""

BATCH = "slurm"
"""The beginning of the names, in /run, of the directories of a batch system, whose client
would start processes that are not walled off."""

IN_HOME = (
    ".ssh",
    ".gnupg",
    ".1password",
    ".ansible/cp",
    ".local/share/keyrings",
    ".screen",
    ".Xauthority",
)
"""The keys in an account's home directory, and the sockets of its agents."""

INSTANCES = ("devpts", "mqueue")
"""The file systems of which a job has an instance of its own: it sees no other."""

_OWN = ("/dev/pts", "/dev/mqueue")
_RUN = "/run"

_ESCAPED = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))

TYPE_CHECKING = False
if TYPE_CHECKING:
    Mount = tuple[str, str, str, str]
    """A mount's device, the directory of it that is seen, where, and the kind."""


class Covers:
    """The places to cover in each job beside ``state``: ``hidden``, and those of the machine.

    ``paths`` need not be there, or be directories. They are right until a change ``is_told``;
    where that cannot be, for as long as nothing changes.
    """

    def __init__(self, state: str, hidden: list[str]) -> None:
        self._state = state
        self._hidden = sorted({*hidden, *RUNTIME} - {state})
        self._mountinfo = os.open("/proc/self/mountinfo", os.O_RDONLY)
        self._mounts: list[Mount] = []
        self._names = Watch(_RUN)
        self.paths: list[str] = []
        self.is_told = False

    def watch(self, poll: select.poll) -> None:
        """Has ``poll`` tell of all that may change what there is to cover."""
        poll.register(self._mountinfo, select.POLLPRI)
        if self._names.fd is not None:
            poll.register(self._names.fd, select.POLLIN)

    def forget(self) -> None:
        """Forgets what was told."""
        self._names.forget()

    def look(self) -> None:
        """Looks for what there is to cover."""
        self.is_told = self._names.begin()
        named = [*self._hidden, *_of_batch_systems()]
        self._mounts = _mounts(self._mountinfo)
        self.paths = [*named, *elsewhere(self._mounts, [self._state, *named])]

    def points(self, kinds: tuple[str, ...]) -> list[str]:
        """The mount points of file systems of some kinds."""
        return [point for *_, point, kind in self._mounts if kind in kinds]


def _of_batch_systems() -> list[str]:
    try:
        return [f"{_RUN}/{name}" for name in os.listdir(_RUN) if name.startswith(BATCH)]
    except OSError:
        return []


def elsewhere(mounts: list[Mount], hidden: list[str]) -> list[str]:
    """The paths by which another mount shows what is hidden, and others' instances. Pure."""
    found = [point for *_, point, kind in mounts if kind in INSTANCES and point not in _OWN]
    for path in hidden:
        for device, place in _seen_at(mounts, path):
            found += _shown_by(mounts, device, place)
    return [path for path in found if not any(_is_below(path, outer) for outer in hidden)]


def _seen_at(mounts: list[Mount], path: str) -> list[tuple[str, str]]:
    """The directories of file systems, by their devices, that are seen at or below a path."""
    below = [(device, root) for device, root, point, _ in mounts if _is_below(point, path)]
    holding = [mount for mount in mounts if _is_below(path, mount[2])]
    if holding:
        # Of those at one point the last is on top.
        device, root, point, _ = max(reversed(holding), key=lambda mount: len(mount[2]))
        below.append((device, _joined(root, path, point)))
    return below


def _shown_by(mounts: list[Mount], device: str, place: str) -> list[str]:
    found = []
    for other, root, point, _ in mounts:
        if other == device and _is_below(place, root):
            found.append(_joined(point, place, root))
        elif other == device and _is_below(root, place):
            found.append(point)
    return found


def _joined(base: str, path: str, outer: str) -> str:
    """``path``, which lies in ``outer``, as seen from ``base``."""
    rest = path[len(outer.rstrip("/")) :]
    return (base.rstrip("/") + rest).rstrip("/") or "/"


def _is_below(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer.rstrip("/") + "/")


def _mounts(mountinfo: int) -> list[Mount]:
    os.lseek(mountinfo, 0, os.SEEK_SET)
    text = b""
    while piece := os.read(mountinfo, 65536):
        text += piece
    return parsed(text.decode(errors="surrogateescape"))


def parsed(mountinfo: str) -> list[Mount]:
    """The mounts that proc_pid_mountinfo(5) tells of, in its order. Pure."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        found.append((fields[2], _plain(fields[3]), _plain(fields[4]), after.split(" ")[0]))
    return found


def _plain(field: str) -> str:
    for escape, character in _ESCAPED:
        field = field.replace(escape, character)
    return field
