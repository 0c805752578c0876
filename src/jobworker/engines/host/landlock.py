"""The version of Landlock that works here (landlock(7)).

The spawner makes the domains of jobs (``native/seal.c``); here is what to tell of them.
"""

from __future__ import annotations

import ctypes

SCOPES = 6
"""The version (Linux 6.12) from which a domain keeps signals and abstract sockets in."""

DOMAINS = 2
"""The version (Linux 5.19) from which jobs at ``uid`` have a domain."""

_CREATE_RULESET = 444
"""The number of landlock_create_ruleset(2) on each machine that we know."""
_VERSION = 1
"""``LANDLOCK_CREATE_RULESET_VERSION``."""

_syscall = ctypes.CDLL(None).syscall
_syscall.restype = ctypes.c_long


def version() -> int:
    """The version that works here; 0 where there is none."""
    number, nothing = ctypes.c_long(_CREATE_RULESET), ctypes.c_long(0)
    found = _syscall(number, nothing, nothing, ctypes.c_long(_VERSION))
    return max(0, int(found))
