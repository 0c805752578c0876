"""Small real disks to be filled, and a server whose state is on one."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support import own_cgroup
from support.directories import make_directory
from support.jobd import Jobd, MakeJobd
from support.waiting import until

MIB = 1024 * 1024


def unmount(at: Path) -> None:
    """Unmount a disk; the kernel lets go of a loop device a moment after its file system."""
    until(lambda: _unmounted(at))


def _unmounted(at: Path) -> bool:
    done = subprocess.run(["umount", str(at)], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def tmpfs(at: Path, size: int) -> Iterator[None]:
    """A file system in memory at a directory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        unmount(at)


@contextmanager
def ext4(at: Path, size: int, image: Path | None = None) -> Iterator[None]:
    """A file system of the usual kind, in a file, at a directory."""
    image = image or at.with_name(f"{at.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield
    finally:
        unmount(at)
        image.unlink()


KINDS = {"tmpfs": tmpfs, "ext4": ext4}

MakeDisk = Callable[..., Path]


def _config_beside(disk: Path) -> Path:
    return disk.with_name(f"{disk.name}.toml")


@pytest.fixture
def make_disk() -> Iterator[MakeDisk]:
    """Mount a small disk: ``make_disk("ext4", 64 * MIB, account=65534)``; takes root.

    To be asked for before ``make_jobd``, whose servers have to end before it is unmounted.
    """
    with ExitStack() as mounted:

        def make(kind: str, size: int, account: int | None = None) -> Path:
            at = make_directory("disk-")
            mounted.callback(at.rmdir)
            mounted.callback(_config_beside(at).unlink, missing_ok=True)
            mounted.enter_context(KINDS[kind](at, size))
            at.chmod(0o755)
            if account is not None:
                os.chown(at, account, account)
            return at

        yield make


UNBOUNDED = '[per-user]\nstored-output = "none"\n'
"""No bound on what a user stores: by default it is a quarter, and one would not fill the disk."""


def server_on(
    disk: Path,
    make_jobd: MakeJobd,
    *options: str,
    account: int | None = None,
    config: str = "",
) -> Jobd:
    """A server whose state, and nothing else of it, is on that disk; one user may fill it."""
    file = _config_beside(disk)
    file.write_text(config + UNBOUNDED)
    options = ("--state", str(disk / "state"), "--config", str(file), *options)
    jobd = make_jobd(*options, account=account)
    jobd.state = disk / "state"
    return jobd


def free(disk: Path) -> int:
    """Bytes that can still be written."""
    place = os.statvfs(disk)
    return place.f_bavail * place.f_frsize


def fill(disk: Path, name: str = "filler") -> Path:
    """Use up every block."""
    filler = disk / name
    with filler.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


class BreakableDisk:
    """An ext4 in a file that can be taken away from under it: every write then fails with EIO.

    The kernel's own memory of what was read stays, as it does with a disk that dies.
    """

    def __init__(self, at: Path, image: Path) -> None:
        self.path = at
        self._image = image

    def break_(self) -> None:
        """Take the blocks away, and the room for others, once all that was written is there."""
        self._write_back()
        self.break_at_once()

    def break_at_once(self) -> None:
        """Take them away from what has no place on the disk yet, too.

        That is lost, also from the kernel's memory, when the kernel finds out: now, and
        otherwise within half a minute (ext4(5): delalloc).
        """
        os.truncate(self._image, MIB)
        fill(self._image.parent)
        self._write_back()

    def _write_back(self) -> None:
        place = os.open(self.path, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(place)  # it fails, or it does not: both is as it may be
        finally:
            os.close(place)


@pytest.fixture
def breakable_disk() -> Iterator[BreakableDisk]:
    """A disk of 64 MiB; to be asked for before ``make_jobd``, as ``make_disk``.

    A supervisor that cannot record its job's end on it outlives its server, which then leaves
    its cgroups to the next one.
    """
    cgroups = own_cgroup.of_servers()
    below, at = make_directory("disk-"), make_directory("disk-")
    try:
        with tmpfs(below, 65 * MIB), ext4(at, 64 * MIB, below / "image"):
            at.chmod(0o755)
            yield BreakableDisk(at, below / "image")
    finally:
        own_cgroup.remove(own_cgroup.of_servers() - cgroups)
        _config_beside(at).unlink(missing_ok=True)
        below.rmdir()
        at.rmdir()
