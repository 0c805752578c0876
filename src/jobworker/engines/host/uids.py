"""The UIDs that owners' jobs run as: a range for each server of a machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from jobworker.config.jobs import UidRange
from jobworker.errors import StartFailed
from jobworker.model import Level
from jobworker.supervisor.names import OWN_UID

_RANGES = (UidRange(1_900_000_000), UidRange(50_000))
"""Ranges that no distribution gives out, the better one first.

The first lies in what systemd's "Users, Groups, UIDs and GIDs" leaves unused. The second
is for containers that map only 65,536 IDs; Debian's policy (9.2.2) reserves it.
"""

_MORE = 10_000
"""Further ranges after the first: up to 2,000,000,000, in the same gap."""


def own_uid_map() -> str:
    """The map of this user namespace, which is set once and for ever (user_namespaces(7))."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii")


def candidates(uid_map: str) -> Iterator[UidRange]:
    """The ranges that a server may take by itself, the best first: mapped whole here. Pure.

    Raises ``StartFailed`` where there is none.
    """
    first, narrow = _RANGES
    if is_mapped(first, uid_map):
        for number in range(_MORE):
            found = UidRange(first.first + number * first.count)
            if is_mapped(found, uid_map):
                yield found
    elif is_mapped(narrow, uid_map):
        yield narrow
    else:
        raise StartFailed(
            "this container maps too few user IDs to give each owner one; map 65536 of them"
        )


def is_mapped(uids: UidRange, uid_map: str) -> bool:
    """Whether all of them exist in this user namespace (user_namespaces(7)). Pure."""
    for line in uid_map.splitlines():
        inside, _, length = (int(part) for part in line.split())
        if inside <= uids.first and uids.last < inside + length:
            return True
    return False


def uid_of(account: int, level: Level, uids: UidRange | None = None) -> int:
    """The UID of the account of that number: our own at levels that give each owner none.

    Without ``uids``, that of a range that a server might take. Raises ``StartFailed`` past
    the last one.
    """
    if level not in OWN_UID:
        return os.geteuid()
    uids = uids or next(candidates(own_uid_map()))
    if account >= uids.count:
        raise StartFailed(f"no user ID is left: {uids.count} owners have had jobs here")
    return uids.first + account
