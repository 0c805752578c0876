"""The likelihood that a process is ended where the machine has no memory left.

A job is more likely than anything else, its supervisor as unlikely as the server, whose
value it inherits. A program inherits the supervisor's value, and may have forked before
another could be given to it: so the supervisor has the job's while it executes that.
"""

from __future__ import annotations

import os

from . import records

_OWN = "self/oom_score_adj"


def scores(words: list[str], proc: int) -> tuple[bytes, bytes] | None:
    """A job's value and that of its supervisor; None where they are one, or none can be set.

    A job's is never below ours. Written with CAP_SYS_RESOURCE, it is also the least that
    the job can give itself (``oom_score_adj_min`` in the kernel).
    """
    own = int(records.read_text(_OWN, proc))
    wanted = max([own, *map(int, words)])
    if wanted == own:
        return None
    return b"%d" % wanted, b"%d" % own


def take_jobs(values: tuple[bytes, bytes] | None, proc: int) -> int | None:
    """Takes the job's value; returns what ``give_back`` needs. To be done while we are dumpable.

    After that our files in ``/proc`` are root's, and only a descriptor will do. ``proc`` is
    the machine's: one that is open for writing keeps a mount of ours from becoming read-only.
    """
    if values is None:
        return None
    descriptor = os.open(_OWN, os.O_WRONLY, dir_fd=proc)
    os.write(descriptor, values[0])
    return descriptor


def give_back(descriptor: int | None, values: tuple[bytes, bytes] | None) -> None:
    """Takes our own value again, once the program is executed, which nothing may report failed."""
    if descriptor is None or values is None:
        return
    try:
        os.write(descriptor, values[1])
    except OSError:
        return  # then the supervisor is as likely as its job
    finally:
        os.close(descriptor)
