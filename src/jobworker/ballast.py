"""Ballast: a file that does nothing but take room, to be given up where there is none left.

A disk that jobs have filled needs a little room to be freed: a database writes down what it
removes, a server that starts makes its lock and its log. The ballast goes slice by slice, as
whoever fills the disk takes each of them too, and is made again once there is plenty.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jobworker import disk
from jobworker.errors import StorageFull

T = TypeVar("T")

log = logging.getLogger(__name__)

_NAME = "ballast"

SIZE = 16 * 1024 * 1024
"""Bytes: the database's log, which takes 4 MiB, three times over, and the records of some
thousand ends; on a small disk a sixteenth of it."""

_PARTS = 16
"""The slices that it goes in, and the part of a small disk that it takes."""

_PLENTY = 3
"""It is made only where as many times its size stay free: it is not to fill a disk itself."""


class Ballast:
    """The ballast of a state directory."""

    def __init__(self, state: Path) -> None:
        self._path = state / _NAME
        place = os.statvfs(state)
        self.size = min(SIZE, place.f_blocks * place.f_frsize // _PARTS)

    def __repr__(self) -> str:
        return f"<Ballast {self._path} of {self.size} bytes>"

    @property
    def held(self) -> int:
        """Bytes that can be given up."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def fill(self) -> None:
        """Makes it whole, where that leaves plenty of room; it fails without a word."""
        with contextlib.suppress(OSError):
            held = self.held
            place = os.statvfs(self._path.parent)
            free = place.f_bavail * place.f_frsize
            if held >= self.size or free < self.size - held + _PLENTY * self.size:
                return
            fd = self._open(os.O_CREAT)
            try:
                os.posix_fallocate(fd, 0, self.size)
            except OSError:
                os.ftruncate(fd, held)
            finally:
                os.close(fd)

    def give(self, *, down_to: float = 0.0) -> bool:
        """Gives up a slice; False where no more than that part of it is left."""
        held = self.held
        left = max(held - self.size // _PARTS, 0)
        if held <= down_to * self.size:
            return False
        try:
            fd = self._open()
            try:
                os.ftruncate(fd, left)
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("cannot give up ballast: %s", error)
            return False
        log.warning("the disk is full: gave up ballast, %d bytes of it are left", left)
        return True

    def relieve(self, work: Callable[[], T]) -> T:
        """Does ``work``, which must be one that can be repeated, with as many slices as it takes.

        Raises what the work raises, once nothing is left to give up.
        """
        while True:
            try:
                return work()
            except (StorageFull, OSError) as error:
                full = isinstance(error, StorageFull) or error.errno in disk.FULL
                if not (full and self.give()):
                    raise

    def _open(self, flags: int = 0) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
