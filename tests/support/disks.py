"""Small real disks to be filled, and a server whose state is on one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.directories import make_directory
from support.jobd import Jobd, MakeJobd

MIB = 1024 * 1024


@contextmanager
def tmpfs(at: Path, size: int) -> Iterator[None]:
    """A file system in memory at a directory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@contextmanager
def ext4(at: Path, size: int) -> Iterator[None]:
    """A file system of the usual kind, in a file, at a directory."""
    image = at.with_name(f"{at.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)
        image.unlink()


KINDS = {"tmpfs": tmpfs, "ext4": ext4}

MakeDisk = Callable[..., Path]


@pytest.fixture
def make_disk() -> Iterator[MakeDisk]:
    """Mount a small disk: ``make_disk("ext4", 64 * MIB, account=65534)``; takes root.

    To be asked for before ``make_jobd``, whose servers have to end before it is unmounted.
    """
    with ExitStack() as mounted:

        def make(kind: str, size: int, account: int | None = None) -> Path:
            at = make_directory("disk-")
            mounted.callback(at.rmdir)
            mounted.enter_context(KINDS[kind](at, size))
            at.chmod(0o755)
            if account is not None:
                os.chown(at, account, account)
            return at

        yield make


def server_on(disk: Path, make_jobd: MakeJobd, *options: str, account: int | None = None) -> Jobd:
    """A server whose state, and nothing else of it, is on that disk."""
    jobd = make_jobd("--state", str(disk / "state"), *options, account=account)
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
