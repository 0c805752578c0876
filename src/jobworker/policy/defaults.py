"""The bounds that hold where the configuration says nothing, by what the machine has. Pure.

They are there so that one user cannot take everything from the others. They are wide: who
runs into one has started something that was not meant, or should be asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobworker.model import Safeguards

_MEMORY_OF_A_JOB = 8 << 20
"""Bytes that a running job is taken to need: a small program and its supervisor, thrice over."""

_FEWEST_RUNNING, _MOST_RUNNING = 64, 4096
_FEWEST_PIDS, _MOST_PIDS = 128, 8192


@dataclass(frozen=True, slots=True)
class Defaults:
    """The meaning of a configuration that says nothing; None is no bound.

    ``stored_output`` is what is kept of one user's output, in bytes.
    """

    safeguards: Safeguards | None = None
    running_per_user: int | None = None
    stored_output: int | None = None


NO_DEFAULTS = Defaults()
"""The defaults of a manager that is used as a library: it bounds what it is told to."""


def protecting(memory: int, processes: int, disk: int) -> Defaults:
    """The defaults of a server, on a machine with so much of each.

    Half of the memory for all jobs: the rest is the server's, and the system's. A quarter
    of the processes and of the disk for one user, so that two who take all they can leave
    room for others.
    """
    return Defaults(
        safeguards=Safeguards(
            memory=memory // 2,
            pids=min(max(processes // 4, _FEWEST_PIDS), _MOST_PIDS),
        ),
        running_per_user=min(max(memory // _MEMORY_OF_A_JOB, _FEWEST_RUNNING), _MOST_RUNNING),
        stored_output=disk // 4,
    )
