"""The descriptors 0, 1 and 2 of a program."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .feed import Feed

    Action = tuple[int, int, int] | tuple[int, int, str, int, int]

    class Streams(Protocol):
        """Pipes, or a terminal. ``sources`` are the ends to read, standard output's first."""

        sources: tuple[int, ...]

        def spawn_actions(self) -> tuple[Action, ...]:
            """The actions that make them 0, 1 and 2 for posix_spawn in a new session."""
            ...

        def take_place(self) -> None:
            """Makes them 0, 1 and 2 of this process, which has made itself a new session."""
            ...

        def let_go(self) -> None:
            """Closes the program's ends."""
            ...


class Pipes:
    """The streams of a program that has no terminal: a pipe for each output.

    Its standard input is that of ``feed``, and empty where that is None.
    """

    def __init__(self, feed: Feed | None) -> None:
        self._feed = feed
        stdout, self._stdout = os.pipe()
        stderr, self._stderr = os.pipe()
        self.sources: tuple[int, ...] = (stdout, stderr)

    def spawn_actions(self) -> tuple[Action, ...]:
        """The actions that make them 0, 1 and 2 for posix_spawn in a new session."""
        stdin: Action
        if self._feed is None:
            stdin = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        else:
            stdin = (os.POSIX_SPAWN_DUP2, self._feed.source, 0)
        return (
            stdin,
            (os.POSIX_SPAWN_DUP2, self._stdout, 1),
            (os.POSIX_SPAWN_DUP2, self._stderr, 2),
        )

    def take_place(self) -> None:
        """Makes them 0, 1 and 2 of this process, which has made itself a new session."""
        feed = self._feed
        stdin = os.open("/dev/null", os.O_RDONLY) if feed is None else feed.source
        for target, source in enumerate((stdin, self._stdout, self._stderr)):
            os.dup2(source, target)

    def let_go(self) -> None:
        """Closes the program's ends."""
        if self._feed is not None:
            self._feed.let_go()
        os.close(self._stdout)
        os.close(self._stderr)
