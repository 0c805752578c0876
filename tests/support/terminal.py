"""A terminal with ``jobctl`` on it, and a person in front."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import Self

_BUDGET = 30.0
"""Seconds for something to be shown, on a machine that may be busy."""


class OnTerminal:
    """A process on a terminal of its own; ``shown`` is all that it has printed."""

    def __init__(
        self, command: list[str], environ: dict[str, str], size: tuple[int, int] = (24, 80)
    ) -> None:
        self._controller, self._terminal = pty.openpty()
        self.resize(*size)
        self.settings = termios.tcgetattr(self._terminal)
        self.shown = b""
        self._process = subprocess.Popen(
            command,
            env=environ | {"TERM": "xterm"},
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            start_new_session=True,
            # Only the leader of a session can take a terminal, and only itself.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._terminal)
        os.close(self._controller)

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def resize(self, rows: int, cols: int) -> None:
        """Make the window another size, of which the kernel tells who is in it."""
        size = struct.pack("HHHH", rows, cols, 0, 0)
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, size)

    def see(self, text: str) -> None:
        """Read on until ``text`` has been shown since the last look."""
        seen, deadline = b"", time.monotonic() + _BUDGET
        poll = select.poll()
        poll.register(self._controller, select.POLLIN)
        while text.encode() not in seen:
            assert poll.poll(max(0.0, deadline - time.monotonic()) * 1000), (text, seen)
            piece = os.read(self._controller, 65_536)
            seen += piece
            self.shown += piece

    def end(self) -> int:
        """Wait for the end; the exit code. The terminal must be as it was."""
        code = self._process.wait(_BUDGET)
        assert termios.tcgetattr(self._terminal) == self.settings
        return code
