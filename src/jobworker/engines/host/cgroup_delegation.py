"""Makes our part of a cgroup v2 tree ready for jobs, if it is ours.

A cgroup with controllers for those below it may hold no processes of its own (the "no
internal processes" rule of the kernel's ``admin-guide/cgroup-v2``), so the server moves
into a leaf beside the jobs.
"""

from __future__ import annotations

import os
from pathlib import Path

LEAF = "jobd-server"
"""The server's own cgroup: a server that begins in one of this name is at home already."""


class NotOurs(Exception):
    """These cgroups cannot be used; the message is a plain sentence."""


def available(base: Path) -> set[str]:
    """The controllers that a cgroup may hand on."""
    return set((base / "cgroup.controllers").read_text(encoding="ascii").split())


def delegate(own: Path) -> Path:
    """Frees ``own`` of processes; returns the cgroup to make others in. Raises ``NotOurs``."""
    if own.name == LEAF:
        return own.parent
    if not (own / "cgroup.type").exists():  # only the root has none, and it is exempt
        return own
    ours = {os.getpid(), *_descendants(os.getpid())}
    if strangers := _processes(own) - ours:
        raise NotOurs(f"the server's cgroup {own} is shared with {len(strangers)} other processes")
    _move_into_leaf(own)
    return own


def _move_into_leaf(own: Path) -> None:
    try:
        leaf = own / LEAF
        leaf.mkdir(exist_ok=True)
        while pids := _processes(own):
            for pid in pids:
                _move(pid, leaf)
    except OSError as error:
        raise NotOurs(
            f"the server's cgroup {own} is not delegated to it ({plain(error)})"
        ) from error


def _move(pid: int, cgroup: Path) -> None:
    try:
        (cgroup / "cgroup.procs").write_text(str(pid), encoding="ascii")
    except ProcessLookupError:
        return  # it has ended meanwhile


def _processes(cgroup: Path) -> set[int]:
    """The PIDs in a cgroup; 0 stands for each process of another PID namespace."""
    return {int(pid) for pid in (cgroup / "cgroup.procs").read_text(encoding="ascii").split()}


def hand_on(controller: str, *cgroups: Path) -> None:
    """Lets the cgroups below each of ``cgroups`` use a controller. Raises ``OSError``."""
    for cgroup in cgroups:
        (cgroup / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def plain(error: OSError) -> str:
    """The failure, without a number and quotes: ``/sys/fs/cgroup/x: Permission denied``."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def _descendants(root: int) -> set[int]:
    """The living descendants of ``root``; zombies are dead and do not count."""
    children: dict[int, list[int]] = {}
    zombies = set()
    for pid, parent, state in _all_processes():
        children.setdefault(parent, []).append(pid)
        if state == "Z":
            zombies.add(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), ())
        found.update(below)
        waiting.extend(below)
    return found - zombies


def _all_processes() -> list[tuple[int, int, str]]:
    """PID, parent's PID and state of every process (proc(5))."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are wanted
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
            state, parent = stat.rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        found.append((int(name), int(parent), state))
    return found
