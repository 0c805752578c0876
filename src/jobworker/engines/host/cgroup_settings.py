"""The files of a cgroup that keep a limit: for the ceiling of all jobs, and to try a place.

The spawner makes the cgroups of jobs (``native/cgroups.c``). Sources: the kernel's
``admin-guide/cgroup-v2`` and ``admin-guide/cgroup-v1/memory``, ``cpu`` in
``scheduler/sched-bwc``, ``pids``.
"""

from __future__ import annotations

import errno
import os

_PERIOD, _LONG_PERIOD = 100_000, 1_000_000
"""Microseconds over which the kernel counts a job's CPU time. It takes no quota below
1 ms, so a hundredth of a CPU is the least that fits the first."""


def settings(version: int, limit: str, value: bytes) -> list[tuple[str, bytes, bool]]:
    """The files that keep a limit: name, value to write, and whether it may be missing.

    Swap counts as memory, or a job would go on past its limit at the machine's expense;
    its files are missing where the kernel does not count swap.
    """
    if limit == "pids":
        return [("pids.max", value, False)]
    if limit == "cpus":
        return _cpu_settings(version, float(value))
    if version == 2:
        return [("memory.max", value, False), ("memory.swap.max", b"0", True)]
    return [
        ("memory.limit_in_bytes", value, False),
        ("memory.memsw.limit_in_bytes", value, True),
    ]


def _cpu_settings(version: int, cpus: float) -> list[tuple[str, bytes, bool]]:
    period = _PERIOD if cpus >= 0.01 else _LONG_PERIOD
    quota = b"%d" % (cpus * period)
    if version == 2:
        return [("cpu.max", b"%b %d" % (quota, period), False)]
    writes = [("cpu.cfs_quota_us", quota, False)]
    if period != _PERIOD:  # else it is what a new cgroup has
        writes.insert(0, ("cpu.cfs_period_us", b"%d" % period, False))
    return writes


def write(directory: int, name: str, value: bytes, *, optional: bool = False) -> None:
    """Writes a file of a cgroup; the error names it."""
    try:
        fd = os.open(name, os.O_WRONLY, dir_fd=directory)
        try:
            os.write(fd, value)
        finally:
            os.close(fd)
    except OSError as error:
        if not (optional and error.errno == errno.ENOENT):
            raise OSError(error.errno, error.strerror, name) from None


def try_limit(version: int, place: str, name: str, limit: str, value: bytes) -> None:
    """Makes a cgroup with a limit in a place, and removes it. Raises ``OSError``."""
    path = os.path.join(place, name)  # noqa: PTH118 - of a cgroup
    os.mkdir(path, 0o700)  # noqa: PTH102
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for file, text, optional in settings(version, limit, value):
                write(directory, file, text, optional=optional)
            if limit == "memory":
                _check_watch(version, directory)
        finally:
            os.close(directory)
    finally:
        os.rmdir(path)  # noqa: PTH106


def _check_watch(version: int, directory: int) -> None:
    """Checks that the kernel tells of kills for memory, or kills the job as a whole."""
    if version == 2:
        write(directory, "memory.oom.group", b"1")
    else:
        os.close(os.open("cgroup.event_control", os.O_WRONLY, dir_fd=directory))
