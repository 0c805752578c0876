"""A list that is kept up to date: redrawn in place on a terminal, elsewhere line by line.

The server is asked every second over one connection: of changes in a list it has no events.
"""

from __future__ import annotations

import shutil
import sys
import time

from jobworker.cli import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import NoReturn

    from jobworker.client.answers import JobView

_PAUSE = 1.0
"""Seconds between two looks: a person sees no difference below, and the server is one of many."""


def redraw(table: Callable[[os.terminal_size], list[str]]) -> NoReturn:
    """Draws the table over and over in the place of the one before, until Ctrl-C.

    It never has more lines than the window, whose top could not be reached again.
    """
    drawn = 0
    while True:
        size = shutil.get_terminal_size()  # each time: windows are made larger and smaller
        lines = table(size)
        room = max(size.lines - 1, 1)
        if len(lines) > room:
            hidden = len(lines) - room + 1
            lines = [*lines[: room - 1], f"({hidden} more)"]
        up = f"\x1b[{drawn}A" if drawn else ""
        sys.stdout.write(f"{up}\r\x1b[J" + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        drawn = len(lines)
        time.sleep(_PAUSE)  # the API has no event for a change in a list


def print_changes(look: Callable[[], list[JobView]], show: Callable[[JobView], None]) -> NoReturn:
    """Shows each job once, and again whenever it has changed, oldest first, until Ctrl-C."""
    known: dict[str, JobView] = {}
    while True:
        jobs = look()
        for job in reversed(jobs):
            if known.get(job["id"]) != job:
                show(job)
        report.flush()
        known = {job["id"]: job for job in jobs}
        time.sleep(_PAUSE)  # the API has no event for a change in a list
