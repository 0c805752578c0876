"""Warnings about paths that a job cannot see or read, given before somebody wonders.

A job has its own ``/tmp``, and at some levels its own user: a path that works in the
operator's shell may not be there for the job.
"""

from __future__ import annotations

import os
import stat

from jobworker.model import Level, Spec
from jobworker.supervisor.covers import RUNTIME
from jobworker.supervisor.site import OWN_NAMESPACES, OWN_UID

_PRIVATE = ("/tmp", "/dev/shm")  # noqa: S108 - the names are the point


def visibility_warning(spec: Spec, level: Level, uid: int | None) -> str | None:
    """Names the first path of the spec that the job cannot see or read, and why; or None.

    ``uid`` is that of a user without groups; None where the job has an account of the
    machine, whose groups may let it read what they may.

    It tells nothing that the job could not find out by itself: of a closed directory it
    names the directory, never what is in it.
    """
    for path in _paths(spec):
        if level in OWN_NAMESPACES and (
            sentence := _in_private_directory(path) or _in_covered_directory(path)
        ):
            return sentence
        if level in OWN_UID and uid is not None and (sentence := _closed_to(uid, path)):
            return sentence
    return None


def _paths(spec: Spec) -> list[str]:
    """The program, the working directory, and every argument that may be a path."""
    candidates = [spec.program, *spec.args]
    candidates += [arg.partition("=")[2] for arg in spec.args if "=/" in arg]
    if spec.cwd:
        candidates.append(spec.cwd)
    return [path for path in candidates if path.startswith("/") and "\0" not in path]


def _in_covered_directory(path: str) -> str | None:
    for place in RUNTIME:
        if path.startswith(f"{place}/"):
            return (
                f"jobs do not see the machine's {place}, by which they could get around their "
                f"walls, and so not {path}"
            )
    return None


def _in_private_directory(path: str) -> str | None:
    for private in _PRIVATE:
        if path.startswith(f"{private}/") and os.path.lexists(path):
            return (
                f"jobs have their own {private}, so the machine's {path} is not there for "
                "them; put it where every user may read it, for example under /srv"
            )
    return None


def _closed_to(uid: int, path: str) -> str | None:
    """Walks down the path as a user with no groups would."""
    current = ""
    for part in path.split("/")[1:]:
        current = f"{current}/{part}"
        try:
            status = os.stat(current)  # noqa: PTH116 - on every start, and Path costs ten times that
        except OSError:
            return None
        is_directory = stat.S_ISDIR(status.st_mode)
        wanted = stat.S_IXOTH if is_directory else stat.S_IROTH
        if not _allows(status, uid, wanted):
            verb = "enter" if is_directory else "read"
            return (
                f"this job runs as the user {uid}, who may not {verb} {current}; put what it "
                "needs where every user may read it, for example under /srv"
            )
    return None


def _allows(status: os.stat_result, uid: int, wanted: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & wanted << 6)
    if status.st_gid == uid:
        return bool(status.st_mode & wanted << 3)
    return bool(status.st_mode & wanted)
