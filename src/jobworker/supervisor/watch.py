"""The names that come and go in a directory, as inotify(7) tells of them."""

from __future__ import annotations

import os

from . import kernel

_MOST = 65_536
"""Bytes of events that are read at once; how many there are is of no matter."""


class Watch:
    """Watches a directory; ``fd`` can be read once a name has come or gone.

    Where there is no such directory, it watches that of its own name. An account may have no
    more instances of inotify: then there is no ``fd``.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._watched: int | None = None
        self.fd: int | None = None
        try:
            self.fd = kernel.inotify()
        except OSError:
            return

    def begin(self) -> bool:
        """Watches what is the directory by now; whether what happens after that is told."""
        if self.fd is None:
            return False
        if self._watched is not None:
            kernel.inotify_forget(self.fd, self._watched)
        there = os.path.isdir(self._path)
        self._watched = self._add(self._path if there else os.path.dirname(self._path))
        self.forget()  # the end of the watch before is told, too
        return self._watched is not None

    def _add(self, path: str) -> int | None:
        """A new watch; None where the kernel gives none."""
        assert self.fd is not None
        try:
            return kernel.inotify_names(self.fd, path)
        except OSError:
            return None

    def forget(self) -> None:
        """Forgets what was told."""
        if self.fd is None:
            return
        try:
            os.read(self.fd, _MOST)
        except BlockingIOError:
            return
