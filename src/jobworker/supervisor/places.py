"""The cgroups in which those of jobs are made, as found by the server."""

from __future__ import annotations

import os


class Place:
    """A cgroup in which jobs' cgroups are made, of v1 or v2, and the limits it can keep.

    The descriptor is opened once, in the spawner: in a job's mount namespace the path may
    be covered or read-only, and a descriptor is not.
    """

    def __init__(self, version: int, path: str, limits: list[str]) -> None:
        self.version = version
        self.path = path
        self.limits = limits
        self.directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.threads: int | None = None
        """The file by which a thread enters this one itself: only v1 knows single threads."""
        if version == 1:
            self.threads = os.open("tasks", os.O_WRONLY, dir_fd=self.directory)

    def close(self) -> None:
        """Closes the directory; a spawner never does."""
        os.close(self.directory)
        if self.threads is not None:
            os.close(self.threads)


def word(limit: str, version: int, path: str) -> str:
    """One place as an argument of the spawner: ``memory:2:/sys/fs/cgroup/…``."""
    return f"{limit}:{version}:{path}"


def opened(words: list[str]) -> list[Place]:
    """The places that the arguments name; limits of one directory share one.

    A directory that has been removed is left out: the spawner serves jobs without limits
    all the same, and refuses those with one.
    """
    named: dict[str, tuple[int, list[str]]] = {}
    for text in words:
        limit, version, path = text.split(":", 2)
        named.setdefault(path, (int(version), []))[1].append(limit)
    found = []
    for path, (which, limits) in named.items():
        try:
            found.append(Place(which, path, limits))
        except FileNotFoundError:
            continue
    return found
