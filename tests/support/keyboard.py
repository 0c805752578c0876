"""A program on a terminal of its own, with somebody who types and looks."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BUDGET = 20.0
"""Seconds for what is typed to show its effect: a shell starts jobctl, on a busy machine."""

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|.)|[\x07\x08]"
)
"""What a terminal obeys and does not show: CSI, OSC, character sets, bells, backspaces."""


class Keyboard:
    """The other end of a terminal."""

    def __init__(self, controller: int) -> None:
        self._controller = controller
        self._seen = b""

    @property
    def screen(self) -> str:
        """All that was shown so far, without what is obeyed."""
        return _SEQUENCE.sub("", self._seen.decode(errors="replace"))

    @property
    def raw(self) -> str:
        """All that was sent to the terminal."""
        return self._seen.decode(errors="replace")

    def type(self, keys: str, *, shows: str | tuple[str, ...]) -> str:
        """Type ``keys`` and wait until all of ``shows`` is on the screen; what came since."""
        begin = len(self.screen)
        os.write(self._controller, keys.encode())
        for text in (shows,) if isinstance(shows, str) else shows:
            self.wait_for(text, begin)
        return self.screen[begin:]

    def wait_for(self, text: str, begin: int = 0) -> None:
        """Wait until ``text`` is shown behind what stood at ``begin``."""
        deadline = time.monotonic() + _BUDGET
        poll = select.poll()
        poll.register(self._controller, select.POLLIN)
        while text not in self.screen[begin:]:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not shown: {self.screen[begin:]!r}"
            if poll.poll(left * 1000):
                try:
                    self._seen += os.read(self._controller, 65_536)
                except OSError:  # EIO: nobody holds the terminal any more
                    raise AssertionError(f"ended without {text!r}:\n{self.screen}") from None


@contextmanager
def at_terminal(command: list[str], environ: dict[str, str]) -> Iterator[Keyboard]:
    """Run ``command`` with a terminal of 80 columns as its controlling one; ends it."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],
        env={"COLUMNS": "80", "LINES": "24", "TERM": "xterm", **environ},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    try:
        yield Keyboard(controller)
    finally:
        os.close(controller)  # a hang-up to the session
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
