"""The UID that an owner's jobs run as."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from jobworker.errors import StartFailed
from jobworker.model import Level
from jobworker.supervisor.site import OWN_UID

ACCOUNTS = 10_000
"""The number of owners that one service can tell apart."""

_RANGES = (1_900_000_000, 50_000)
"""First UIDs of ranges that no distribution gives out, the better one first.

The first lies in what systemd's "Users, Groups, UIDs and GIDs" leaves unused. The second
is for containers that map only 65,536 IDs; Debian's policy (9.2.2) reserves it.
"""


@cache
def _own_first_uid() -> int:
    """A process's map is set once and for ever (user_namespaces(7))."""
    return first_uid(Path("/proc/self/uid_map").read_text(encoding="ascii"))


def first_uid(uid_map: str) -> int:
    """The first range that is mapped whole in this user namespace (user_namespaces(7))."""
    for first in _RANGES:
        for line in uid_map.splitlines():
            inside, _, length = (int(part) for part in line.split())
            if inside <= first and first + ACCOUNTS <= inside + length:
                return first
    raise StartFailed(
        "this container maps too few user IDs to give each owner one; map 65536 of them"
    )


def uid_of(account: int, level: Level) -> int:
    """The UID of the account of that number: our own at levels that give each owner none.

    Raises ``StartFailed`` past the last one.
    """
    if level not in OWN_UID:
        return os.geteuid()
    if account >= ACCOUNTS:
        raise StartFailed(f"no user ID is left: {ACCOUNTS} owners have had jobs here")
    return _own_first_uid() + account
