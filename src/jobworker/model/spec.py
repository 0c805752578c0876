"""The request for a job's start, and the policy's answer to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Literal, get_args

from jobworker.limits import LIMITS

Level = Literal["full", "namespaces", "uid", "basic"]
"""The containment level of a job: the degree to which it is walled off."""

LEVELS: tuple[Level, ...] = get_args(Level)
"""Every level, the strongest first."""


if TYPE_CHECKING:
    from jobworker.limits import Limits as Limits  # noqa: PLC0414 - exported
else:
    Limits = make_dataclass(
        "Limits",
        [(limit.name, limit.kind.number | None, None) for limit in LIMITS],
        frozen=True,
        slots=True,
        namespace={
            "__doc__": "The most that a job may use; None where nothing is limited.",
            "__module__": __name__,
        },
    )

NO_LIMITS = Limits()
"""Limits that limit nothing."""


@dataclass(frozen=True, slots=True)
class Input:
    """The source of a program's standard input; without one it reads nothing.

    ``given`` input came with the start, all ``size`` bytes of it, which ``sha256`` tells from
    others. A ``pipe``, or a ``terminal`` of so many rows and columns at first, gets its input
    while the job runs.
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
    """The request for a job; immutable once accepted.

    Text that has to reach the program as bytes that are not UTF-8 holds them as
    surrogate escapes (PEP 383). ``grace`` is the number of seconds from SIGTERM to SIGKILL
    once the time is over; ``run_as`` the account of the machine to run as, where it is not
    the owner's own; without ``network`` there is only a loopback of the job's own;
    ``containment`` is the least that will do; ``input`` is the source of standard input.
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
    """One state of one file that was checked: this is executed, or nothing.

    ``path`` is canonical. A file that is written to, replaced, or given away has another
    identity: times are in nanoseconds, ``ctime_ns`` is that of the last change of any kind,
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
    """An account of the machine, with all groups that it is in, and its home directory."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = ""


OnOutputLimit = Literal["truncate", "kill"]
"""The fate of a job that writes more than its limit: the rest is dropped, or it is killed."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The policy's answer to a spec: how the job is run, whatever was asked for.

    ``rule`` names the rule that decided. ``limits`` are the effective ones. ``run_as`` is None
    where the job runs as its owner's own account, ``executable`` where any program may
    be run, so that it need not have been checked. ``cwd`` is the working directory, where the
    policy gives one.
    """

    rule: str = "default"
    limits: Limits = NO_LIMITS
    network: bool = True
    run_as: Account | None = None
    executable: Executable | None = None
    cwd: str | None = None
    on_output_limit: OnOutputLimit = "truncate"


@dataclass(frozen=True, slots=True)
class Terms:
    """The grant of a job, beside the request in its spec.

    ``limits`` are the effective ones; without ``network`` there is only a loopback of the
    job's own; ``run_as`` names the account of the machine that it runs as, and is None where
    that is its owner's own.
    """

    limits: Limits = NO_LIMITS
    network: bool = True
    run_as: str | None = None

    @classmethod
    def of(cls, grant: Grant) -> Terms:
        """The part of a grant that holds for as long as the job is known."""
        return cls(grant.limits, grant.network, grant.run_as.name if grant.run_as else None)
