"""The register of the ranges of UIDs that the servers of one machine have taken.

A range belongs to a state directory for as long as that is there, and not only while its
server runs: jobs and files outlive it. So the register is no lock of a process and not in
``/run``, but a directory that only root can write, with a file for each range; its name
says the range, and its content the state directory with its device and inode. What stands
for a directory that is gone counts no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobworker import atomic_file
from jobworker.config.jobs import UidRange
from jobworker.engines.host.uids import candidates, is_mapped, own_uid_map
from jobworker.errors import UidsUnavailable

REGISTER = Path("/var/lib/jobd-uids")

_FILE = "uids"
"""The file in a state directory that names its range: its owners have had users of that."""

_HINT = "give each server a range of its own: first-uid and uid-count in [jobs] of its --config"


log = logging.getLogger(__name__)


def claim_uids(state: Path, wanted: UidRange | None) -> UidRange:
    """Takes a range for a state directory on this machine, as ``claim`` does.

    Where the register cannot be written, in a container that is read-only for one, the
    range is used all the same: servers within it have no other machine to share.
    """
    uid_map = own_uid_map()
    used = (state / "boot").exists()
    try:
        return claim(state, wanted, uid_map, used=used)
    except OSError as error:
        uids = wanted or _own(state) or next(candidates(uid_map))
        log.warning(
            "cannot register the UIDs %s of jobs in %s, so see that no other server of this "
            "machine uses them: %s",
            uids,
            REGISTER,
            error.strerror,
        )
        return uids


def claim(
    state: Path,
    wanted: UidRange | None,
    uid_map: str,
    *,
    used: bool,
    register: Path = REGISTER,
) -> UidRange:
    """Takes a range for a state directory: the one that is wanted, else the one it has.

    One that has none takes the first that is free; if it is ``used``, it is of an earlier
    version, whose owners have users of the very first. Raises ``UidsUnavailable`` where
    another state has taken the range, or this user namespace lacks some of it.
    """
    with _locked(register):
        taken = _taken_by_others(register, state)
        chosen = wanted or _own(state) or _free(taken, uid_map, used=used)
        if not is_mapped(chosen, uid_map):
            raise UidsUnavailable(
                f"cannot use the UIDs {chosen}: they are not all mapped in this container",
                hint=_HINT,
            )
        for other, owner in taken.items():
            if chosen.overlaps(other):
                raise UidsUnavailable(
                    f"cannot use the UIDs {chosen} for jobs: {other} belong to the server "
                    f"with the state directory {owner}",
                    hint=_HINT,
                )
        _register(register, chosen, state)
        atomic_file.replace(str(state / _FILE), _text(chosen).encode())
        return chosen


def _free(taken: dict[UidRange, str], uid_map: str, *, used: bool) -> UidRange:
    first = next(candidates(uid_map))
    if used:
        return first
    free = (one for one in candidates(uid_map) if not any(map(one.overlaps, taken)))
    return next(free, first)


def _own(state: Path) -> UidRange | None:
    try:
        return _parse((state / _FILE).read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


@contextmanager
def _locked(register: Path) -> Iterator[None]:
    """The register, for us alone; raises ``UidsUnavailable`` where others could change it."""
    register.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(register, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise UidsUnavailable(
                f"cannot use the register of UIDs {register}: others can change it",
                hint=f"see that nobody has, then chown root {register} and chmod 700 {register}",
            )
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _taken_by_others(register: Path, state: Path) -> dict[UidRange, str]:
    """The ranges of other states by those; what stands for one that is gone is removed."""
    found = {}
    for entry in register.iterdir():
        uids = _parse(entry.name)
        if uids is None:
            continue
        owner = entry.read_text(encoding="utf-8", errors="surrogateescape")
        path, _, identity = owner.rpartition("\n")
        if identity != _identity(Path(path)):
            entry.unlink()
        elif identity != _identity(state):
            found[uids] = path
    return found


def _register(register: Path, uids: UidRange, state: Path) -> None:
    for entry in register.iterdir():  # our own of before, if the setting has changed
        if entry.read_bytes().endswith(f"\n{_identity(state)}".encode()):
            entry.unlink()
    content = os.fsencode(state) + f"\n{_identity(state)}".encode()
    atomic_file.replace(str(register / _text(uids)), content)


def _identity(directory: Path) -> str:
    """The device and inode of a directory; empty where there is none."""
    with contextlib.suppress(OSError, ValueError):
        status = directory.stat()
        return f"{status.st_dev}:{status.st_ino}"
    return ""


def _text(uids: UidRange) -> str:
    return f"{uids.first}-{uids.count}"


def _parse(text: str) -> UidRange | None:
    first, _, count = text.partition("-")
    if not (first.isascii() and first.isdigit() and count.isascii() and count.isdigit()):
        return None
    return UidRange(int(first), int(count))
