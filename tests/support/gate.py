"""Named pipes by which a test and its jobs wait for each other, without a clock."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUDGET = 30
"""Seconds for a job to come to its end, on a machine that may be busy."""


class Gate:
    """A pipe from which jobs read a line before they go on; every user may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        self._end = os.open(path, os.O_RDWR)

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Let one reader go on."""
        os.write(self._end, b"go\n")

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._end)


class Life:
    """A pipe that jobs hold open for writing, so that their end can be waited for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def __str__(self) -> str:
        return str(self.path)

    def wait_for_end(self) -> None:
        """Return when nobody holds it any more; somebody must have by now."""
        poll = select.poll()
        poll.register(self._end, 0)  # a hang-up is told in any case
        assert poll.poll(_BUDGET * 1000), "a job goes on that should have ended"

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._end)


@contextmanager
def opened(*pipes: Gate | Life) -> Iterator[None]:
    """See that pipes are closed in the end."""
    try:
        yield
    finally:
        for pipe in pipes:
            pipe.close()
