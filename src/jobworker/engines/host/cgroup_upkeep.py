"""The server's part of the jobs' cgroups: what a supervisor left, and the ceiling of all."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from jobworker.engines.host.cgroup_settings import settings, write
from jobworker.engines.host.cgroups import WHAT_TO_DO, Cgroups, commons_of
from jobworker.engines.host.enforcement import limit_fields
from jobworker.errors import LimitUnavailable
from jobworker.model import JobId, Limits

_EMPTYING = 5.0
"""Seconds to empty a cgroup whose supervisor is dead: a kill takes milliseconds, the
machine may be busy, and nobody waits."""

_PAUSE = 0.01

_NO_LIMIT = {
    (2, "memory"): [("memory.max", b"max", False)],
    (2, "cpus"): [("cpu.max", b"max", False)],
    (1, "memory"): [
        ("memory.memsw.limit_in_bytes", b"-1", True),
        ("memory.limit_in_bytes", b"-1", False),
    ],
    (1, "cpus"): [
        ("cpu.cfs_quota_us", b"-1", False),
        ("cpu.cfs_period_us", b"100000", False),
    ],
}


def set_ceiling(cgroups: Cgroups, ceiling: Limits) -> None:
    """Limits all jobs together; a resource without a limit is unlimited from now on.

    Raises ``LimitUnavailable``, and ``OSError`` where the jobs that run have more.
    """
    wanted = dict(limit_fields(ceiling))
    for limit in wanted:
        if limit not in cgroups.found:
            why = cgroups.missing.get(limit, "only memory, cpus and pids can be")
            message = f"the limit {limit} of all jobs is not enforced here: {why}"
            raise LimitUnavailable(message, hint=WHAT_TO_DO)
    for limit, (version, path) in cgroups.found.items():
        _write_limit(version, path, limit, wanted.get(limit))


def bound_memory(cgroups: Cgroups, memory: int) -> None:
    """Lets all jobs together hold so much memory, and makes the cgroup of those with none.

    Raises ``OSError`` where the jobs that run have more.
    """
    version, path = cgroups.found["memory"]
    _write_limit(version, path, "memory", b"%d" % memory)
    os.makedirs(commons_of(path), mode=0o700, exist_ok=True)  # noqa: PTH103 - of a cgroup


def _write_limit(version: int, path: str, limit: str, value: bytes | None) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, text, optional in _ceiling_settings(version, limit, value):
            write(directory, name, text, optional=optional)
    finally:
        os.close(directory)


def _ceiling_settings(
    version: int, limit: str, value: bytes | None
) -> list[tuple[str, bytes, bool]]:
    no_limit = _NO_LIMIT.get((version, limit), [("pids.max", b"max", False)])
    # What was set before goes first: v1 takes no limit of memory above that with swap.
    return no_limit if value is None else no_limit + settings(version, limit, value)


def sweep(cgroups: Cgroups, supervised: Callable[[JobId], bool]) -> None:
    """Empties and removes the cgroups of jobs that have no supervisor any more."""
    for _, path in cgroups.directories:
        for name in os.listdir(path):  # noqa: PTH208 - names are wanted
            try:
                job_id = JobId.parse(name)
            except ValueError:
                continue  # a file of the cgroup, or none of ours
            if not supervised(job_id):
                remove_left_over(cgroups, job_id)


def remove_left_over(cgroups: Cgroups, job_id: str) -> None:
    """Kills the processes in a job's cgroup, and removes it; does nothing if there is none."""
    deadline = time.monotonic() + _EMPTYING
    for version, path in cgroups.directories:
        try:
            directory = os.open(f"{path}/{job_id}", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            _empty(version, directory, deadline)
        finally:
            os.close(directory)
        _remove(f"{path}/{job_id}", deadline)


def leave(cgroups: Cgroups) -> None:
    """Removes the directories of jobs' cgroups that have no jobs in them."""
    for _, path in cgroups.directories:
        with contextlib.suppress(OSError):  # a job is left, which the next server follows
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(commons_of(path))  # noqa: PTH106 - of a cgroup
            os.rmdir(path)  # noqa: PTH106 - of a cgroup


def _empty(version: int, directory: int, deadline: float) -> None:
    """Kills until no process is left: on v1 one may fork between our look and its death."""
    if version == 2:
        write(directory, "cgroup.kill", b"1", optional=True)
    write(directory, "pids.max", b"0", optional=True)
    while (pids := _processes(directory)) and time.monotonic() < deadline:
        for pid in pids:
            _kill(pid)
        time.sleep(_PAUSE)  # cgroup v1 tells nobody that a process has ended


def _processes(directory: int) -> list[int]:
    fd = os.open("cgroup.procs", os.O_RDONLY, dir_fd=directory)
    with open(fd, encoding="ascii") as file:  # noqa: PTH123 - by descriptor
        return [int(line) for line in file]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended meanwhile


def _remove(path: str, deadline: float) -> None:
    while True:
        try:
            os.rmdir(path)  # noqa: PTH106 - of a cgroup
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)  # nor that a cgroup is not held any more
        else:
            return
