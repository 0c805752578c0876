"""Accounts of the machine that a rule lets jobs run as."""

from __future__ import annotations

import os
import pwd

from jobworker.model import Account


def resolve(name: str, server: int) -> Account:
    """The account of that name for a server of the UID ``server``.

    Raises ``ValueError`` with the reason where jobs cannot run as it, or must not.
    """
    if server != 0:
        raise ValueError("takes a server that runs as root, to become another account")
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise ValueError(f"names {name!r}, and there is no such account on this machine") from None
    if entry.pw_uid == 0:
        raise ValueError(f"names {name!r}, whose jobs would be root, like the server")
    groups = os.getgrouplist(name, entry.pw_gid)
    if 0 in groups:
        raise ValueError(f"names {name!r}, which is in the group of root")
    return Account(name, entry.pw_uid, entry.pw_gid, tuple(sorted(set(groups))), entry.pw_dir)
