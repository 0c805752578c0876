"""The server's side of standard input: kept until its job starts, then in the job's directory.

Input that comes with a start lies in ``inputs/<job id>`` for as long as the job waits, and
is moved with its start. Later input goes into a pipe, which the supervisor holds open too.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

from jobworker.model import Input, JobId
from jobworker.supervisor import records

INPUTS = "inputs"

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_READABLE = 0o444
"""The mode that lets the job's own user open ``/dev/stdin``, which checks permissions anew;
nobody else gets as far as the file, as the directory is closed to all."""


class Inputs:
    """The input of all live jobs that have any; ``spool`` is the directory of the jobs'."""

    def __init__(self, state: Path, spool: int) -> None:
        directory = state / INPUTS
        directory.mkdir(mode=0o700, exist_ok=True)
        self._root = records.open_directory(str(directory))
        self._spool = spool

    def close(self) -> None:
        """Closes the directory."""
        os.close(self._root)

    def keep(self, job_id: JobId, data: bytes) -> None:
        """Keeps what came with a start; durable once this returns, else nothing is left."""
        try:
            fd = os.open(job_id, _CREATE, 0o600, dir_fd=self._root)
            try:
                os.fchmod(fd, _READABLE)
                records.write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.fsync(self._root)
        except OSError:
            self.drop(job_id)
            raise

    def drop(self, job_id: JobId) -> None:
        """Removes input that was kept and has not been moved, if there is any."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(job_id, dir_fd=self._root)

    def sweep(self, known: Collection[JobId]) -> None:
        """Removes input without a job, of a server that died before it had recorded one."""
        for name in os.listdir(self._root):  # noqa: PTH208 - by descriptor
            if name not in known:
                os.unlink(name, dir_fd=self._root)

    def place(self, job_id: JobId, source: Input) -> None:
        """Puts a job's input into its directory, for its supervisor to find."""
        name = f"{job_id}/{records.STDIN}"
        if source.kind == "given":
            os.rename(job_id, name, src_dir_fd=self._root, dst_dir_fd=self._spool)
            return
        os.mkfifo(name, 0o600, dir_fd=self._spool)
        if source.kind == "pipe":
            os.chmod(name, _READABLE | 0o200, dir_fd=self._spool)

    def take_back(self, job_id: JobId) -> None:
        """Keeps again the input that was put into a job's directory, if it is a file."""
        name = f"{job_id}/{records.STDIN}"
        try:
            status = os.stat(name, dir_fd=self._spool, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode):
            os.rename(name, job_id, src_dir_fd=self._spool, dst_dir_fd=self._root)

    def open_pipe(self, job_id: JobId) -> int:
        """Our end of a job's pipe, not blocking; raises ``OSError``, ENXIO without a reader."""
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(f"{job_id}/{records.STDIN}", flags, dir_fd=self._spool)
