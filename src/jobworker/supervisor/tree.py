"""Kills all of a job's processes, and knows when none is left.

In a PID namespace the kernel does it: a signal to -1 from its init reaches all others
(kill(2)). Elsewhere the supervisor is a child subreaper (prctl(2)), so every process
of the job stays its descendant, and the descendants are stopped first: a stopped one
cannot fork away from the kill.
"""

from __future__ import annotations

import os

from . import signals
from .site import OWN_NAMESPACES


def signal_namespace(number: int) -> None:
    """Sends a signal to every process of this PID namespace but its init, the caller."""
    _send(-1, number)


def signal_descendants(number: int, keep: frozenset[int] = frozenset()) -> None:
    """Sends a signal to every descendant, but for ``keep`` and the descendants of those."""
    for pid in descendants(os.getpid(), keep):
        _send(pid, number)


def kill_descendants(keep: frozenset[int] = frozenset()) -> None:
    """Kills every descendant but for ``keep`` and theirs, however fast they fork.

    One whose parent ends while we look can be missed. It becomes our child, so a
    caller has to call again after each child that it reaps.
    """
    me = os.getpid()
    stopped: set[int] = set()
    while new := descendants(me, keep) - stopped:
        for pid in new:
            _send(pid, signals.SIGSTOP)
        stopped |= new
    for pid in stopped:
        _send(pid, signals.SIGKILL)


def end(level: str) -> None:
    """Kills and reaps every process of the job."""
    if level in OWN_NAMESPACES:
        end_namespace()
    else:
        end_descendants()


def end_namespace() -> None:
    """Kills and reaps every other process of this PID namespace."""
    signal_namespace(signals.SIGKILL)
    while _reap_one():
        pass


def end_descendants() -> None:
    """Kills and reaps every descendant.

    As a subreaper without a child has no descendants, the machine's processes, which may
    be many, are looked through only where there is something to find.
    """
    while _children_left():
        kill_descendants()
        _reap_one()


def _children_left() -> bool:
    """Whether there is a child, once all that have ended are reaped."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _reap_one() -> bool:
    """Waits for a child to end; False if there is none."""
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return False
    return True


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended meanwhile, which is what we are after


def descendants(root: int, keep: frozenset[int] = frozenset()) -> set[int]:
    """The living descendants of ``root``; zombies are dead and do not count."""
    children: dict[int, list[int]] = {}
    zombies = set()
    for pid, parent, state in _processes():
        children.setdefault(parent, []).append(pid)
        if state == "Z":
            zombies.add(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), ()) if pid not in keep]
        found.update(below)
        waiting.extend(below)
    return found - zombies


def _processes() -> list[tuple[int, int, str]]:
    """PID, parent's PID and state of every process (proc(5))."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        found.append((int(name), int(parent), state))
    return found
