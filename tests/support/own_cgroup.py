"""A cgroup for this run of the tests, so that what its servers make can be told from others'.

On v1 as root, where every server can make cgroups below the one that it is in. On v2 a
cgroup with processes hands no controllers on, so that this run stays where it is, and what
another account has made is not its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from jobworker.engines.host.cgroup_tree import memberships, own_directory
from jobworker.engines.host.cgroups import CONTROLLERS
from jobworker.engines.host.mountinfo import mounts

_SERVERS = "jobd-jobs-"

_entered: list[Path] = []


def enter() -> None:
    """Move this process into a cgroup of its own in each v1 hierarchy that it may divide."""
    for own in _own_directories(v1=True):
        made = own / f"tests-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:  # no root, or a hierarchy that is read-only here: nobody else can, too
            continue
        _entered.append(made)
        _move_into(made)


def leave() -> None:
    """Move back, and remove what ``enter`` made."""
    while _entered:
        made = _entered.pop()
        _move_into(made.parent)
        with contextlib.suppress(OSError):  # a test has left something in it, and has failed
            made.rmdir()


def of_servers() -> set[str]:
    """The cgroups for jobs that servers of this run, or of this account on v2, have made."""
    return {
        entry.path
        for own in {*_own_directories(v1=True), *_own_directories(v1=False)}
        for entry in os.scandir(own)
        if entry.name.startswith(_SERVERS) and entry.stat().st_uid == os.geteuid()
    }


def remove(servers: set[str]) -> None:
    """Remove cgroups for jobs whose server has left them, with nobody in them, to the next one."""
    for path in servers:
        for below in (*Path(path).glob("*/"), Path(path)):
            below.rmdir()


def _own_directories(*, v1: bool) -> set[Path]:
    mounted = mounts()
    member_of = memberships(Path("/proc/self/cgroup").read_bytes())
    found = {
        own_directory(controller, mounted, member_of)
        for controller in member_of
        if controller in (CONTROLLERS.values() if v1 else ("",))
    }
    return {Path(own) for own in found if own}


def _move_into(cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text("0")
