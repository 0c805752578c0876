"""Programs run without any service: what everything else is held against."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence


def rate(
    commands: Sequence[list[str]], count: int, environ: Mapping[str, str] | None = None
) -> float:
    """Programs a second that are spawned, run and reaped, as many at once as ``commands``.

    ``posix_spawn`` is the cheapest way that Python has: the new process shares our memory
    until its exec. A command that has ended is started again.
    """
    running: dict[int, list[str]] = {}
    begun = time.perf_counter()
    for number in range(count):
        command = _reap(running) if number >= len(commands) else commands[number]
        running[_spawn(command, environ)] = command
    while running:
        _reap(running)
    return count / (time.perf_counter() - begun)


def seconds(command: list[str], environ: Mapping[str, str] | None = None) -> float:
    """Wall time of one run, from its spawn to its end."""
    begun = time.perf_counter()
    _reap({_spawn(command, environ): command})
    return time.perf_counter() - begun


def _spawn(command: list[str], environ: Mapping[str, str] | None) -> int:
    silent = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(
        command[0], command, os.environ if environ is None else environ, file_actions=silent
    )


def _reap(running: dict[int, list[str]]) -> list[str]:
    """Wait for one of ours; any other child (a server) would be a mistake."""
    pid, status = os.wait()
    command = running.pop(pid)
    assert status == 0, f"{command} ended with wait status {status}"
    return command
