"""Finds where the cgroups of jobs can be made here. Everything is probed by doing it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobworker.engines.host import cgroup_delegation
from jobworker.engines.host.cgroup_delegation import NotOurs, plain
from jobworker.engines.host.cgroup_settings import try_limit
from jobworker.engines.host.cgroup_tree import memberships, own_directory
from jobworker.engines.host.mountinfo import Mount, mounts
from jobworker.model import JobId
from jobworker.supervisor.names import place_argument

CONTROLLERS = {"memory": "memory", "cpus": "cpu", "pids": "pids"}
"""The controller that keeps each limit."""

_PROBED_WITH = {"memory": b"67108864", "cpus": b"0.5", "pids": b"50"}

WHAT_TO_DO = (
    "give the server a cgroup of its own: run it as a systemd service with Delegate=yes and "
    "KillMode=process (and DelegateSubgroup=jobd-server from systemd 254 on), or by "
    "systemd-run --scope -p Delegate=yes"
)


@dataclass(frozen=True, slots=True)
class Cgroups:
    """For each limit that cgroups keep here: the version and the directory of jobs' cgroups.

    ``missing`` says of the others, in a plain sentence each, why not.
    """

    found: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The places as arguments of a spawner."""
        return [place_argument(limit, *place) for limit, place in self.found.items()]

    @property
    def directories(self) -> list[tuple[int, str]]:
        """Each directory once, with its version."""
        return list(dict.fromkeys(self.found.values()))


def commons_of(path: str) -> str:
    """The cgroup of the jobs that have none of their own, in the directory of jobs' cgroups."""
    return f"{path}/common"


def name_for(state: Path) -> str:
    """Name of the directory of the jobs of one state directory."""
    return f"jobd-jobs-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}"


def find(state: Path) -> Cgroups:
    """Finds and makes the cgroups for the jobs of one state directory. Blocks on system calls.

    May move this process into a cgroup of its own below the one that it is in.
    """
    name = name_for(state)
    try:
        mounted = mounts()
        member_of = memberships(Path("/proc/self/cgroup").read_bytes())
    except FileNotFoundError:  # a kernel without cgroups
        return Cgroups(missing=dict.fromkeys(CONTROLLERS, "this kernel has no cgroups"))
    return _Search(name, mounted, member_of).run()


class _Search:
    """Version 2 first, and version 1 for what it lacks."""

    def __init__(self, name: str, mounted: list[Mount], member_of: dict[str, str]) -> None:
        self._name = name
        self._mounted = mounted
        self._member_of = member_of
        self._found: dict[str, tuple[int, str]] = {}
        self._why_not: dict[str, list[str]] = {limit: [] for limit in CONTROLLERS}

    def run(self) -> Cgroups:
        self._try_unified()
        for limit, controller in CONTROLLERS.items():
            if limit not in self._found:
                self._try_v1(limit, controller)
        missing = {
            limit: "; ".join(reasons or [_no_controller(limit)])
            for limit, reasons in self._why_not.items()
            if limit not in self._found
        }
        return Cgroups(self._found, missing)

    def _own(self, controller: str) -> Path | None:
        own = own_directory(controller, self._mounted, self._member_of)
        return Path(own) if own else None

    def _try_unified(self) -> None:
        own = self._own("")
        if own is None:
            return
        try:
            base = own.parent if own.name == cgroup_delegation.LEAF else own
            offered = cgroup_delegation.available(base)
            wanted = {limit for limit in CONTROLLERS if CONTROLLERS[limit] in offered}
            if wanted:
                self._use_unified(own, wanted)
        except NotOurs as error:
            self._note(str(error))
        except OSError as error:
            self._note(f"the server's cgroup cannot be used ({plain(error)})")

    def _note(self, why_not: str) -> None:
        for reasons in self._why_not.values():
            reasons.append(why_not)

    def _use_unified(self, own: Path, wanted: set[str]) -> None:
        base = cgroup_delegation.delegate(own)
        jobs = base / self._name
        jobs.mkdir(exist_ok=True)
        for limit in sorted(wanted):
            try:
                cgroup_delegation.hand_on(CONTROLLERS[limit], base, jobs)
            except OSError as error:
                self._why_not[limit].append(f"the controller cannot be handed on ({plain(error)})")
            else:
                self._try(limit, 2, jobs)

    def _try_v1(self, limit: str, controller: str) -> None:
        own = self._own(controller)
        if own is None:
            return
        jobs = own / self._name
        try:
            jobs.mkdir(exist_ok=True)
        except OSError as error:
            self._why_not[limit].append(f"no cgroup can be made ({plain(error)})")
            return
        self._try(limit, 1, jobs)

    def _try(self, limit: str, version: int, jobs: Path) -> None:
        """Limits a job that does not run; if we are killed, the sweep removes its cgroup."""
        try:
            try_limit(version, str(jobs), JobId.new(), limit, _PROBED_WITH[limit])
        except OSError as error:
            self._why_not[limit].append(f"its cgroup cannot be limited ({plain(error)})")
        else:
            self._found[limit] = (version, str(jobs))


def _no_controller(limit: str) -> str:
    return f"the kernel's cgroup controller {CONTROLLERS[limit]} is not available on this machine"
