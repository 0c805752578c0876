"""The levels of containment that work here: each is tried by running a job at it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobworker.config.settings import Containment
from jobworker.engines.host import landlock
from jobworker.engines.host.diagnosis import explain
from jobworker.engines.host.uids import uid_of
from jobworker.engines.spawner import SpawnerProcess, open_log
from jobworker.errors import ContainmentUnavailable, JobWorkerError, reason_of
from jobworker.model import LEVELS, JobId, Level
from jobworker.spool.spool import Spool
from jobworker.supervisor.records import Fields

PREFIX = ".jobd-probe-"
"""The beginning of a try's names. A spool removes leftovers that begin with a dot."""

_PATIENCE = 10.0
"""Seconds for a job that does nothing: a thousand times what it takes."""

_NEEDS_ROOT: dict[Level, str] = {
    "full": "it needs root (CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID and CAP_KILL)",
    "uid": "it needs root (CAP_SETUID, CAP_SETGID and CAP_KILL)",
}
_NEVER_FOR_ROOT = (
    "root never gets it, as its jobs would have root's user ID, by which the kernel lets them "
    "set the machine's parameters; take full or uid, or run jobd as an ordinary account"
)
_NEEDS_PROC = "/proc is not mounted here (mount -t proc proc /proc)"


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of trying a level.

    ``missing`` is a plain sentence where it does not work, ``weaker`` one where it does,
    but without a second wall that newer kernels have.
    """

    level: Level
    works: bool
    missing: str | None
    weaker: str | None = None


def probe() -> list[Probe]:
    """Tries every level, the strongest first."""
    return [_probe(level) for level in LEVELS]


def choose(containment: Containment) -> Level:
    """The level asked for, or for ``auto`` the strongest that works for who we are.

    Raises ``ContainmentUnavailable``.
    """
    if not Path("/proc/self/stat").exists():
        raise ContainmentUnavailable(f"jobs cannot be supervised: {_NEEDS_PROC}")
    if containment != "auto":
        result = _probe(containment)
        if not result.works:
            raise ContainmentUnavailable(
                f"containment level {containment} is not available here: {result.missing}",
                hint="jobd doctor shows what can",
            )
        return containment
    missing = []
    for level in LEVELS:
        result = _probe(level)
        if result.works:
            return level
        missing.append(f"{level}: {result.missing}")
    raise ContainmentUnavailable(f"no containment level works here: {'; '.join(missing)}")


def _probe(level: Level) -> Probe:
    missing = _missing(level)
    weaker = None if missing else weakness(level, landlock.version())
    return Probe(level, works=missing is None, missing=missing, weaker=weaker)


def weakness(level: Level, version: int) -> str | None:
    """The reach that this version of Landlock leaves to jobs of a level, in a sentence; or None."""
    if level == "basic" or version >= landlock.SCOPES:
        return None
    reach = "abstract UNIX sockets of the machine"
    if level == "uid":
        what = "signal" if version >= landlock.DOMAINS else "signal and trace"
        reach = f"{reach}, and {what} other jobs of their owner"
    found = f"this kernel has version {version}" if version else "this kernel has none"
    return (
        f"jobs can connect to {reach}, which Landlock of version {landlock.SCOPES} "
        f"(Linux 6.12) would keep them from; {found}"
    )


def _missing(level: Level) -> str | None:
    if not Path("/proc/self/stat").exists():
        return _NEEDS_PROC
    if level in _NEEDS_ROOT and os.geteuid() != 0:
        return _NEEDS_ROOT[level]
    if level == "namespaces" and os.geteuid() == 0:
        return _NEVER_FOR_ROOT
    try:
        failure = _run_at(level, [("arg", b"/bin/true")])
    except (OSError, JobWorkerError) as error:
        failure = reason_of(error)
    return failure and explain(level, failure)


def pids_by_rlimit() -> str | None:
    """Tries whether RLIMIT_NPROC counts a job's processes alone; None if so, else what failed.

    One process too many must not fork, and one within the limit must: with the server
    and the spawner of the same user about, it could not if those were counted.
    """
    script = [("arg", b"/bin/sh"), ("arg", b"-c"), ("arg", b"/bin/true; exit 0")]
    try:
        if _run_at("namespaces", [*script, ("pids", b"1")]) is None:
            return "it does not bind"
        return _run_at("namespaces", [*script, ("pids", b"2")])
    except (OSError, JobWorkerError) as error:
        return reason_of(error)


_STORE_TOO_MUCH = """
head -c 65536 /dev/zero >fits || exit
if head -c 1000000 /dev/zero >too-large; then exit 1; fi
"""


def run_over_limit_of_tmp(level: Level, parent: Path) -> str | None:
    """Tries whether a job with a state in ``parent`` stores what it may, and no more.

    None if so, else what failed.
    """
    script = [("arg", b"/bin/sh"), ("arg", b"-c"), ("arg", _STORE_TOO_MUCH.encode())]
    limited = [*script, ("env", b"PATH=/usr/bin:/bin"), ("tmp", b"262144")]
    try:
        return _run_at(level, limited, parent)
    except (OSError, JobWorkerError) as error:
        return reason_of(error)


def _run_at(level: Level, spec: Fields, parent: Path | None = None) -> str | None:
    """Runs a job that does next to nothing; returns None if it went well, else what failed."""
    uid = uid_of(0, level)
    with _scratch_state(parent) as state, closing(Spool(state)) as spool:
        job_id = JobId.new()
        spool.create(job_id, spec)
        log = open_log(state)
        try:
            spawner = SpawnerProcess(level, state, [state], log)
        finally:
            os.close(log)
        try:
            spawner.channel.settimeout(_PATIENCE)
            spawner.order(job_id, uid)
            return _outcome(spawner) or None
        finally:
            spawner.close()
            spawner.wait()
            spool.remove(job_id)


def _outcome(spawner: SpawnerProcess) -> str:
    failure = "the spawner broke"
    for event in _events(spawner):
        match event:
            case {"event": b"refused", "stage": stage, "errno": number}:
                failure = f"{stage.decode()}: {os.strerror(int(number))}"
            case {"event": b"ended", "exitCode": b"0"}:
                failure = ""
            case {"event": b"ended"}:
                failure = "its program failed"
            case {"event": b"gone"}:
                return failure
            case _:
                continue
    return failure


def _events(spawner: SpawnerProcess) -> Iterator[dict[str, bytes]]:
    while (fields := spawner.receive()) is not None:
        yield dict(fields)


@contextmanager
def _scratch_state(parent: Path | None) -> Iterator[Path]:
    where = parent or _scratch_parent()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=where) as directory:
        yield Path(directory)


def _scratch_parent() -> str:
    return tempfile.gettempdir()
