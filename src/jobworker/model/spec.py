"""What is asked for when a job is started, and what the policy makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["full", "namespaces", "uid", "basic"]
"""How far a job is walled off from the server and from other jobs; the strongest first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use at most; None where nothing is limited.

    ``memory``, ``output`` and ``tmp`` in bytes, ``timeout`` in seconds from the program's
    start, ``cpus`` in CPUs (0.5 is half of one), ``pids`` in processes and threads at once,
    ``open_files`` for each process, ``nice`` as in nice(1) from 0 to 19.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    open_files: int | None = None
    output: int | None = None
    tmp: int | None = None
    nice: int | None = None
    timeout: float | None = None


NO_LIMITS = Limits()
"""Limits that limit nothing."""


@dataclass(frozen=True, slots=True)
class Input:
    """Where a program's standard input comes from; without any it reads nothing.

    ``given`` came with the start, all ``size`` bytes of it, which ``sha256`` tells from
    others. A ``pipe``, or a ``terminal`` of so many rows and columns at first, is fed while
    the job runs.
    """

    kind: Literal["given", "pipe", "terminal"]
    size: int = 0
    sha256: str = ""
    rows: int = 0
    cols: int = 0

    @classmethod
    def of(cls, data: bytes) -> Input:
        """An input that comes whole with the start."""
        return cls("given", len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Spec:
    """What was asked for; immutable once accepted.

    Text that has to reach the program as bytes that are not UTF-8 holds them as
    surrogate escapes (PEP 383). ``grace`` is how many seconds after SIGTERM SIGKILL comes
    once the time is over; ``run_as`` the account of the machine to run as, where it is not
    the owner's own; without ``network`` there is only a loopback of the job's own;
    ``containment`` is the least that will do; ``input`` says where standard input comes from.
    """

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    grace: float = 0.0
    network: bool = True
    run_as: str | None = None
    containment: Level | None = None
    input: Input | None = None


@dataclass(frozen=True, slots=True)
class Executable:
    """One state of one file that was checked: executed is this, or nothing.

    ``path`` is canonical. A file that is written to, replaced, or given away has another
    identity: times in nanoseconds, ``ctime_ns`` that of the last change of any kind,
    which nobody can set.
    """

    path: str
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the machine, with all groups that it is in."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


OnOutputLimit = Literal["truncate", "kill"]
"""What becomes of a job that writes more than its limit: the rest goes, or the job does."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the policy made of a spec: how the job is run, whatever was asked for.

    ``rule`` names the rule that decided. ``limits`` are those in force. ``run_as`` is None
    where the job runs as its owner's own account, ``executable`` where any program may
    be run, so that it need not have been checked.
    """

    rule: str = "default"
    limits: Limits = NO_LIMITS
    network: bool = True
    run_as: Account | None = None
    executable: Executable | None = None
    on_output_limit: OnOutputLimit = "truncate"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was granted to a job, beside what was asked for in its spec.

    ``limits`` are those in force; without ``network`` there is only a loopback of the job's
    own; ``run_as`` names the account of the machine that it runs as, and is None where that
    is its owner's own.
    """

    limits: Limits = NO_LIMITS
    network: bool = True
    run_as: str | None = None

    @classmethod
    def of(cls, grant: Grant) -> Terms:
        """The part of a grant that holds for as long as the job is known."""
        return cls(grant.limits, grant.network, grant.run_as.name if grant.run_as else None)
