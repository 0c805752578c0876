"""The places that are hidden from every job of a server.

Those of the machine, such as the directories of logins, the spawner adds (``native/covers.c``).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobworker.supervisor.names import MACHINE_SHM, MACHINE_TMP

IN_HOME = (
    ".ssh",
    ".gnupg",
    ".1password",
    ".ansible/cp",
    ".local/share/keyrings",
    ".screen",
    ".Xauthority",
)
"""The keys in an account's home directory, and the sockets of its agents."""

_SESSION = ("SSH_AUTH_SOCK", "XAUTHORITY", "TMUX")
"""Variables that name a socket or a file of a session, or begin with it before a comma."""


_NAME_CACHE = Path("/run/nscd")
"""The socket of nscd, which knows no job's user: without it the C library looks by itself."""


def hidden_paths(state: Path, others: Sequence[Path]) -> list[Path]:
    """The paths that no job may see, whether there is something yet or not.

    They are the state, ``others``, what the server's environment names of a session and,
    where jobs have the server's own UID, what its home directory has of keys. A path that is
    a link is among them as it is, too: it may lead elsewhere tomorrow.
    """
    paths = [state, *others, _NAME_CACHE, *of_session(os.environ)]
    if os.geteuid() != 0:
        paths += [*of_home(_own_home()), *of_home(os.environ.get("HOME", ""))]
    both = (same for path in paths for same in (path, path.resolve()))
    return [path for path in dict.fromkeys(both) if not _is_a_jobs_own(path)]


def _is_a_jobs_own(path: Path) -> bool:
    """Whether a job has something of its own in that place, and cannot see the machine's."""
    return any(path.is_relative_to(place) for place in (MACHINE_TMP, MACHINE_SHM))


def of_session(environ: Mapping[str, str]) -> list[Path]:
    """The runtime directory and the sockets that an environment names. Pure."""
    named = [environ.get("XDG_RUNTIME_DIR", "")]
    named += [environ.get(name, "").partition(",")[0] for name in _SESSION]
    for address in environ.get("DBUS_SESSION_BUS_ADDRESS", "").split(";"):
        kind, _, values = address.partition(":")
        if kind == "unix":
            named += [
                value.removeprefix("path=")
                for value in values.split(",")
                if value.startswith("path=")
            ]
    return [Path(path) for path in named if path.startswith("/")]


def of_home(home: str) -> list[Path]:
    """The keys and the agents' sockets in a home directory; none for a home that is no place."""
    if not home.startswith("/") or home == "/":
        return []
    return [Path(home, name) for name in IN_HOME]


def _own_home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
