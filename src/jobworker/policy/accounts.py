"""Accounts of the machine that a rule lets jobs run as."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator

from jobworker.model import Account

POWERFUL = {
    **dict.fromkeys(
        ("docker", "podman", "lxd", "incus", "incus-admin", "libvirt"),
        "can have root's powers by asking for a container or a machine",
    ),
    **dict.fromkeys(("sudo", "wheel", "admin"), "may become root where sudo or polkit asks"),
    **dict.fromkeys(("disk", "kmem"), "reads and writes all that the machine holds"),
    "shadow": "reads the passwords of all accounts",
    "staff": "writes programs that root runs from /usr/local",
    **dict.fromkeys(("adm", "systemd-journal"), "reads the logs of the whole machine"),
}
"""Groups that amount to more than an account, and what a member can do."""


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


def powers(account: Account) -> Iterator[tuple[str, str]]:
    """The groups of an account that give more than an account has, and what each gives."""
    for gid in account.groups:
        try:
            name = grp.getgrgid(gid).gr_name
        except KeyError:
            continue  # a group without a name
        if name in POWERFUL:
            yield name, POWERFUL[name]
