"""Standard input from the spool: a file that is read as it is, or a pipe that a server feeds.

Loaded by the spawner last, as only jobs with input need it.
"""

from __future__ import annotations

import os
import select

from . import records

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Feed:
    """The program's standard input: ``source``, until it is handed over."""

    def __init__(self, spool: int, kind: bytes) -> None:
        # Without blocking, as a pipe would wait for the other end.
        self.source = os.open(records.STDIN, _READ, dir_fd=spool)
        self._keeper: int | None = None
        if kind == records.FED:
            # Ours is open until the server says that the input is over: a server that
            # stops, or dies, is no end of file.
            self._keeper = os.open(records.STDIN, _WRITE, dir_fd=spool)
        os.set_blocking(self.source, True)

    def register(self, poll: select.poll) -> None:
        """Registers nothing: the program itself reads."""

    def heed(self, fd: int, event: int, poll: select.poll) -> bool:  # noqa: ARG002 - as of a terminal
        """Returns True: any event is output."""
        return True

    def let_go(self) -> None:
        """Closes our end, so that a writer notices once the program reads no more."""
        os.close(self.source)

    def end(self) -> None:
        """Ends the input; a second call changes nothing."""
        if self._keeper is not None:
            os.close(self._keeper)
            self._keeper = None
