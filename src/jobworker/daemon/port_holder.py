"""The process that listens on a port of this machine, for a message to the operator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from jobworker.model import JobId

_LISTENS = "0A"
"""The state TCP_LISTEN in /proc/net/tcp (proc(5))."""

_JOB = "JOBD_JOB_ID="


def who_listens(port: int) -> str:
    """A phrase that names the holder, as far as this account may know it."""
    sockets = dict(_listening(port))
    for pid in _processes():
        if _opened(pid) & sockets.keys():
            return f"PID {pid} ({_name(pid)}){_job(pid)}"
    if sockets:
        return f"a process of UID {next(iter(sockets.values()))}"
    return "a process that is not found"


def _listening(port: int) -> Iterator[tuple[str, str]]:
    """The link of each listening socket's descriptors, and the UID that made it."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
                if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                    yield f"socket:[{inode}]", uid


def _processes() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  names are wanted


def _opened(pid: str) -> set[str]:
    """What the descriptors of a process are; none where it is gone or not ours to look at."""
    found: set[str] = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(descriptor.readlink()))
    return found


def _name(pid: str) -> str:
    with suppress(OSError):
        return ascii(Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip())[1:-1]
    return "gone"


def _job(pid: str) -> str:
    """The job that the process says it is of: no proof, as it may say what it likes."""
    with suppress(OSError, ValueError):
        for entry in Path(f"/proc/{pid}/environ").read_text("utf-8", "replace").split("\0"):
            if entry.startswith(_JOB):
                return f", which says it is of job {JobId.parse(entry.removeprefix(_JOB))}"
    return ""
