"""Warnings about paths that a job cannot see or read, given before somebody wonders.

A job has its own ``/tmp``, and at some levels its own user: a path that works in the
operator's shell may not be there for the job.

The server looks as root at paths that a client has made up, so it looks as little as it can:
at a few of them, off the event loop, through no link, and no further than the job's user
could. A warning tells nothing that a user of the machine without groups could not see.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from jobworker.model import Level, Spec
from jobworker.supervisor.names import OWN_NAMESPACES, OWN_UID, RUNTIME

MOST_PATHS = 32
"""Most paths of a spec that are looked at: it is the first, as a rule, that a job cannot see."""

MOST_CANDIDATES = 1024
"""Most arguments of which it is asked whether they are paths: on the event loop."""

MOST_PARTS = 64
"""Most parts of a path that are looked at; the deepest that people use have twenty."""

BUDGET = 1.0
"""Most seconds for a look: it takes microseconds, unless a file system does not answer."""

MOST_WAITING = 64
"""Most looks at once. More are held up by a file system that does not answer, and go without."""

_PRIVATE = ("/tmp", "/dev/shm")  # noqa: S108 - the names are the point

_ANOTHER = ("/proc", "/sys", "/dev", "/run")
"""Directories of which a job may have others than the machine's."""

_PUBLIC = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
"""Directories that are readable by everybody: most programs are there, and are not looked at."""

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class VisibilityWarnings:
    """Looks for what jobs of one level cannot see, in a thread of its own."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="visibility")
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<VisibilityWarnings at {self._level}, {self._waiting} looks under way>"

    async def find(self, spec: Spec, uid: int | None) -> str | None:
        """The warning of ``visibility_warning``; None as well where it would take too long."""
        if self._waiting >= MOST_WAITING or next(_paths(spec), None) is None:
            return None
        loop = asyncio.get_running_loop()
        looking = loop.run_in_executor(self._thread, visibility_warning, spec, self._level, uid)
        self._waiting += 1
        looking.add_done_callback(self._looked)
        done, _ = await asyncio.wait({looking}, timeout=BUDGET)
        return looking.result() if done else None

    def _looked(self, _: asyncio.Future[str | None]) -> None:
        self._waiting -= 1

    def close(self) -> None:
        """Takes no more; does not wait for a file system that does not answer."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def visibility_warning(spec: Spec, level: Level, uid: int | None) -> str | None:
    """Names the first path of the spec that the job cannot see or read, and why; or None.

    ``uid`` is that of a user without groups; None where the job has an account of the
    machine, whose groups may let it read what they may. It blocks on the disk.
    """
    for path in islice(_paths(spec), MOST_PATHS):
        if level in OWN_NAMESPACES and (
            sentence := _in_private_directory(path) or _in_covered_directory(path)
        ):
            return sentence
        if level in OWN_UID and uid is not None and (sentence := _closed_to(uid, path)):
            return sentence
    return None


def _paths(spec: Spec) -> Iterator[str]:
    """The program, the working directory, and every argument that may be a path.

    Left out is what is not looked at: what is for everybody, and what a job may have of its
    own. A path that goes up again could lead out of a directory that it seems to lie in.
    """
    for path in islice(_candidates(spec), MOST_CANDIDATES):
        if (
            path.startswith("/")
            and "\0" not in path
            and ".." not in path.split("/", MOST_PARTS)
            and not _is_below(_PUBLIC, path)
            and (_is_below((*_PRIVATE, *RUNTIME), path) or not _is_below(_ANOTHER, path))
        ):
            yield path


def _candidates(spec: Spec) -> Iterator[str]:
    yield spec.program
    if spec.cwd:
        yield spec.cwd
    for argument in spec.args:
        yield argument
        if "=/" in argument:
            yield argument.partition("=")[2]


def _is_below(directories: tuple[str, ...], path: str) -> bool:
    return any(path.startswith(f"{directory}/") for directory in directories)


def _in_covered_directory(path: str) -> str | None:
    place = next((each for each in RUNTIME if _is_below((each,), path)), None)
    if place is None:
        return None
    return (
        f"jobs do not see the machine's {place}, by which they could get around their "
        f"walls, and so not {path}"
    )


def _in_private_directory(path: str) -> str | None:
    private = next((each for each in _PRIVATE if _is_below((each,), path)), None)
    if private is None or not _shows(path, below=private):
        return None
    return (
        f"jobs have their own {private}, so the machine's {path} is not there for "
        "them; put it where every user may read it, for example under /srv"
    )


def _shows(path: str, below: str) -> bool:
    """Whether anybody can see that there is something of ``path``, as far as anybody can see."""
    whole = path.rstrip("/")
    for name, status in _walk(path):
        if len(name) <= len(below):
            continue
        closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_IXOTH
        if closed or stat.S_ISLNK(status.st_mode) or name == whole:
            return True
    return False


def _closed_to(uid: int, path: str) -> str | None:
    """Walks down the path as a user with no groups would, and as far."""
    for current, status in _walk(path):
        if stat.S_ISLNK(status.st_mode):
            return None  # where it leads is not ours to tell
        is_directory = stat.S_ISDIR(status.st_mode)
        wanted = stat.S_IXOTH if is_directory else stat.S_IROTH
        if not _allows(status, uid, wanted):
            verb = "enter" if is_directory else "read"
            return (
                f"this job runs as the user {uid}, who may not {verb} {current}; put what it "
                "needs where every user may read it, for example under /srv"
            )
    return None


def _walk(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each part of a path from the root down, and its status, as far as there are any.

    It goes from descriptor to descriptor, and through no link: a job may make one, and may
    put one in the place of a directory at any moment. A link is told and is the last.
    """
    current = ""
    at = os.open("/", _LOOK)
    try:
        for part in [part for part in path.split("/", MOST_PARTS) if part][: MOST_PARTS - 1]:
            inner = os.open(part, _LOOK, dir_fd=at)
            os.close(at)
            at = inner
            current = f"{current}/{part}"
            yield current, os.fstat(at)
    except OSError:
        return
    finally:
        os.close(at)


def _allows(status: os.stat_result, uid: int, wanted: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & wanted << 6)
    if status.st_gid == uid:
        return bool(status.st_mode & wanted << 3)
    return bool(status.st_mode & wanted)
