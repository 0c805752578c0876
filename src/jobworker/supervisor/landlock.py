"""A Landlock domain for each job, as a second wall (landlock(7)).

A process in a domain may signal, trace and inspect only what is in the same one, and
connect to no abstract UNIX socket from outside it. Where the kernel has no Landlock, or
an old one, jobs run without: the promise of a level does not rest on it.
"""

from __future__ import annotations

import os
import struct

from . import kernel

SCOPES = 6
"""The version (Linux 6.12) from which a domain keeps signals and abstract sockets in."""

DOMAINS = 2
"""The version (Linux 5.19) from which a domain need not change what a job can do with
files. With the first, no file could be moved from one directory to another."""

_ABSTRACT_UNIX_SOCKET = 1
_SIGNAL = 2
_REFER = 1 << 13


def version() -> int:
    """The version that works here; 0 where there is none."""
    try:
        return kernel.landlock_version()
    except OSError:
        return 0


def ruleset(level: str, found: int) -> int | None:
    """A descriptor of the rules of every job's domain; None where it would be of no use.

    Each job enters a domain of its own, though all are made from the same rules. Below
    ``SCOPES`` a domain only keeps a job from tracing others, which a PID namespace does
    already; so only jobs at level ``uid`` have one.
    """
    if level == "basic":
        return None
    if found >= SCOPES:
        handled = struct.pack("<3Q", 0, 0, _ABSTRACT_UNIX_SOCKET | _SIGNAL)
        return kernel.landlock_ruleset(handled)
    if level == "uid" and found >= DOMAINS:
        return _nothing_denied()
    return None


def _nothing_denied() -> int:
    """Rules that deny nothing: the one right a domain must handle is given everywhere."""
    rules = kernel.landlock_ruleset(struct.pack("<Q", _REFER))
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        kernel.landlock_add_path(rules, struct.pack("<Qi", _REFER, root))
    finally:
        os.close(root)
    return rules
