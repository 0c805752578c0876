"""The setting shared by all jobs that one spawner starts."""

from __future__ import annotations

import os

from . import kernel, oom_score, places, records, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commons import Commons
    from .walls import Walls

OWN_NAMESPACES = ("full", "namespaces")
"""The levels with PID, mount and IPC namespaces for each job: so with a ``/tmp`` of its own."""
OWN_UID = ("full", "uid")
"""The levels with a UID for each owner: so they need root."""


class Site:
    """The level of containment, the directories to work in, and what to cover.

    Descriptors are opened once, here: in a job's mount namespace the paths are covered.
    A directory to bind-mount is named relative to the working directory instead, which
    is the state directory: a clone's working directory moves along into its own mount
    namespace, while a descriptor stays in the old one and cannot be mounted from.

    ``words`` are the spawner's arguments: ``level`` of containment, ``state`` directory,
    paths to ``hide``, the ``cgroup`` for each limit, the ``ceiling`` of all jobs together
    (``memory:1073741824``), the most ``processes`` of a user, the ``oom`` score of jobs, and
    ``io-uring`` where they may use that. The spawner finds the ``commons``.
    """

    def __init__(self, words: dict[str, list[str]]) -> None:
        (state,) = words["state"]
        os.chdir(state)
        (self.level,) = words["level"]
        self.places = places.opened(words.get("cgroup", []))
        self.ceiling = _ceiling(words.get("ceiling", []))
        self.processes = int(words["processes"][0]) if "processes" in words else None
        self.commons: Commons | None = None
        self.user = (os.geteuid(), os.getegid())
        self.boot_id = records.boot_id()
        self.spool = records.open_directory(records.SPOOL)
        self.signals = kernel.signal_fd(*signals.WAKING)
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        self.shm = _open_if_there("/dev/shm")  # noqa: S108 - itself
        self.oom_scores = oom_score.scores(words.get("oom", []), self.proc)
        self.walls = _walls(self.level, state, words.get("hide", []))
        self.filter, self.domain = _seal(self.level, io_uring="io-uring" in words)


def _walls(level: str, state: str, hidden: list[str]) -> Walls | None:
    if level not in OWN_NAMESPACES:
        return None
    from .walls import Walls  # noqa: PLC0415 - late, as what is imported below

    return Walls(level, state, hidden)


def _seal(level: str, *, io_uring: bool) -> tuple[kernel.CallFilter | None, int | None]:
    """The filter and the Landlock rules of every job; level ``basic`` promises nothing."""
    if level == "basic":
        return None, None
    # Loaded late: among what every supervisor touches it would spread that over more
    # pages, each of which is copied.
    from . import landlock, seccomp  # noqa: PLC0415

    code = seccomp.program(kernel.MACHINE, io_uring=io_uring)
    return kernel.CallFilter(code), landlock.ruleset(level, landlock.version())


def _ceiling(words: list[str]) -> dict[str, bytes]:
    found = {}
    for text in words:
        limit, _, value = text.partition(":")
        found[limit] = value.encode()
    return found


def _open_if_there(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
