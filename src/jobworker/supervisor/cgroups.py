"""The cgroup of one job: one directory in each place that keeps one of its limits.

The supervisor makes, watches and removes it, and like the server stays outside of it:
the limits count only the job, and the kernel kills only the job for memory.
Sources: the kernel's ``admin-guide/cgroup-v2`` and ``admin-guide/cgroup-v1/memory``,
``cpu`` in ``scheduler/sched-bwc``, ``pids``.
"""

from __future__ import annotations

import os
import time

from . import oom
from .places import Place
from .records import Fields

_MOST_PIDS = 1 << 22  # the kernel's PID_MAX_LIMIT: pids.max takes no number above it
KEPT_BY_CGROUPS = ("memory", "cpus", "pids")

_ENOENT, _EBUSY, _ENODEV = 2, 16, 19
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_PERIOD, _LONG_PERIOD = 100_000, 1_000_000
"""Microseconds over which the kernel counts a job's CPU time. It takes no quota below
1 ms, so a hundredth of a CPU is the least that fits the first."""

_ENOUGH = 1 << 20
"""Bytes that are enough for a thread to make a process and wait for its exec."""

_AT_ONCE = 64 << 10
"""Bytes that the kernel takes at once, at most, for a fork or an exec."""

_REMOVAL = 0.25
"""Seconds to wait for the last process to leave. They are dead and reaped by now, so it
leaves within a millisecond; a cgroup that takes longer is left to the server."""


_REMOVAL_PAUSE = 0.002
"""Seconds between two attempts: v1 reports an empty cgroup only by starting a program."""


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
        if not (optional and error.errno == _ENOENT):
            raise OSError(error.errno, error.strerror, name) from None


class Room:
    """Room for one thread more than the limit, in a cgroup v1 that counts processes.

    The thread from which a program is spawned counts as a process of the job until it has
    left. A job that fills the limit at once has one too many for that moment; the other
    way round a program could be refused a process that it is entitled to.
    """

    def __init__(self, directory: int, limit: bytes, way_out: int) -> None:
        self._limit = limit
        self._way_out = way_out
        self._file = os.open("pids.max", os.O_WRONLY, dir_fd=directory)

    def make(self) -> None:
        """Raises the limit by one, unless it is the highest: no machine has as many processes."""
        os.write(self._file, b"%d" % min(int(self._limit) + 1, _MOST_PIDS))

    def leave(self) -> None:
        """Takes the calling thread out, and the raise back."""
        os.write(self._way_out, b"0")
        os.write(self._file, self._limit)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


class JobCgroup:
    """The cgroup of one job, or nothing at all where none of its limits takes one.

    ``ceiling`` has the limits of all jobs together: each job is in the cgroups that keep
    one of those, too.
    """

    def __init__(self, places: list[Place], ceiling: dict[str, bytes], name: str) -> None:
        self._places = places
        self._ceiling = ceiling
        self._name = name
        self._made: list[tuple[Place, int]] = []
        self._doors: list[int] = []
        self._room: Room | None = None
        self._memory: tuple[int, int] | None = None
        self._memory_limit = b""
        self._alarm: oom.Alarm | None = None
        self.unified: int | None = None
        """Descriptor of the cgroup v2 that a clone3 may begin in."""

    def __repr__(self) -> str:
        made = [f"v{place.version} {'+'.join(place.limits)}" for place, _ in self._made]
        return f"<JobCgroup {self._name}: {', '.join(made) or 'not made'}>"

    def make(self, limits: dict[str, bytes]) -> None:
        """Makes it and sets the limits. Raises ``OSError``; ``remove`` is due in any case."""
        limits = {key: limits[key] for key in KEPT_BY_CGROUPS if key in limits}
        if "cpus" in limits and "cpus" in self._ceiling:
            # The kernel's v1 takes no share above that of the whole.
            limits["cpus"] = min(limits["cpus"], self._ceiling["cpus"], key=float)
        missing = set(limits) - {"pids"}  # a resource limit may keep that one (limited)
        for place in self._places:
            here = [name for name in place.limits if name in limits or name in self._ceiling]
            if here:
                self._make_in(place, here, limits)
                missing -= set(here)
        if missing:
            raise OSError(_ENODEV, os.strerror(_ENODEV), f"{min(missing)} has no cgroup")

    def _make_in(self, place: Place, here: list[str], limits: dict[str, bytes]) -> None:
        os.mkdir(self._name, 0o700, dir_fd=place.directory)
        try:
            directory = os.open(self._name, _DIRECTORY, dir_fd=place.directory)
        except OSError:
            os.rmdir(self._name, dir_fd=place.directory)
            raise
        self._made.append((place, directory))
        if place.version == 2:
            self.unified = directory
        else:
            self._doors.append(os.open("tasks", os.O_WRONLY, dir_fd=directory))
        for limit in here:
            if limit in limits:
                for name, value, optional in settings(place.version, limit, limits[limit]):
                    write(directory, name, value, optional=optional)
        if place.threads is not None and "pids" in here and "pids" in limits:
            self._room = Room(directory, limits["pids"], place.threads)
        if "memory" in here:
            self._watch_memory(place.version, directory, limits)

    def _watch_memory(self, version: int, directory: int, limits: dict[str, bytes]) -> None:
        self._memory = (version, directory)
        self._memory_limit = limits.get("memory") or self._ceiling["memory"]
        if version == 2:
            write(directory, "memory.oom.group", b"1")
        else:
            self._alarm = oom.Alarm(directory)

    @property
    def limits_memory(self) -> bool:
        """Whether it keeps a limit of memory."""
        return self._memory is not None

    @property
    def counts_processes(self) -> bool:
        """Whether it keeps the limit of processes."""
        return any("pids" in place.limits for place, _ in self._made)

    @property
    def takes_threads(self) -> bool:
        """Whether a thread can enter it alone: on v2 only the whole process may.

        On v1 it cannot where memory is too tight for the thread itself, whose page tables
        are charged there: with nothing to kill for it the kernel has it try for ever.
        """
        if self.unified is not None:
            return False
        bounds = [self._memory_limit, self._ceiling.get("memory", b"")]
        return all(int(bound) >= _ENOUGH for bound in bounds if bound)

    def enter(self, *, unified: bool) -> None:
        """Moves the calling thread into it, all of its process on v2 where ``unified``.

        On v1 it writes to ``tasks``: a thread that moves itself by that takes no lock that
        waits for every CPU of the machine (``cgroup_procs_write_start`` in the kernel's
        ``cgroup.c``), which is milliseconds for each directory.
        """
        for door in self._doors:
            os.write(door, b"0")
        if unified and self.unified is not None:
            write(self.unified, "cgroup.procs", b"0")

    def visit(self) -> None:
        """Moves the calling thread into it, uncounted, for as long as it takes to spawn."""
        if self._room is not None:
            self._room.make()
        self.enter(unified=False)

    def end_visit(self) -> None:
        """Takes the calling thread out of where it counts; its end takes it out of the rest."""
        if self._room is not None:
            self._room.leave()

    @property
    def alarm(self) -> oom.Alarm | None:
        """The alarm of a kill for memory, where the kernel does not kill the whole job."""
        return self._alarm

    def oom_kills(self) -> int:
        """The number of the job's processes killed for memory, by the kernel's own count.

        On v2 it counts the first twice where it kills all (``oom_kill_process``).
        """
        if self._memory is None:
            return 0
        version, directory = self._memory
        return oom.kills(directory, "memory.events" if version == 2 else "memory.oom_control")

    def was_full(self) -> bool:
        """Whether it has ever held as much as it may, short of what one call asks for."""
        peak = self.memory_peak()
        return peak is not None and peak + _AT_ONCE >= int(self._memory_limit)

    def memory_peak(self) -> int | None:
        """The most bytes that the job held at once; None if not counted (v2 before 5.19)."""
        if self._memory is None:
            return None
        version, directory = self._memory
        name = "memory.peak" if version == 2 else "memory.max_usage_in_bytes"
        try:
            return int(oom.read(directory, name))
        except FileNotFoundError:
            return None

    def cpu_seconds(self) -> float | None:
        """CPU time of all its processes, reaped or not; None without v2."""
        if self.unified is None:
            return None
        return oom.field(oom.read(self.unified, "cpu.stat"), b"usage_usec") / 1e6

    def evidence(self, kills: int) -> Fields:
        """The evidence of an end for lack of memory; none where no process was killed."""
        if not kills:
            return []
        fields = [
            ("evidence.memoryLimit", self._memory_limit),
            ("evidence.oomKills", b"%d" % kills),
        ]
        peak = self.memory_peak()
        if peak is not None:
            fields.append(("evidence.memoryPeak", b"%d" % peak))
        return fields

    def let_go(self) -> None:
        """Closes all descriptors of it; the clone of this process has them, too."""
        if self._alarm is not None:
            self._alarm.close()
        if self._room is not None:
            self._room.close()
        for fd in (*self._doors, *[directory for _, directory in self._made]):
            os.close(fd)

    def remove(self) -> None:
        """Removes it. That there is none, or that it is not empty yet, is no error."""
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        if self._room is not None:
            self._room.close()
            self._room = None
        deadline = time.monotonic() + _REMOVAL if self._made else 0.0
        while self._doors:
            os.close(self._doors.pop())
        while self._made:
            place, directory = self._made.pop()
            os.close(directory)
            _remove_directory(place, self._name, deadline)
        self._memory = self.unified = None


def _remove_directory(place: Place, name: str, deadline: float) -> None:
    while True:
        try:
            os.rmdir(name, dir_fd=place.directory)
        except OSError as error:
            if error.errno != _EBUSY or time.monotonic() >= deadline:
                return
            time.sleep(_REMOVAL_PAUSE)  # the kernel tells nobody when it is free
        else:
            return
