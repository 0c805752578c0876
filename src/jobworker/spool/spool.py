"""The server's side of the spool: orders and stops in, output out.

``supervisor/records.py`` has the names and the format that both sides share.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from jobworker import atomic_file, disk
from jobworker.model import (
    JobId,
    SignalRequest,
    StopRequest,
    time_text,
)
from jobworker.spool import quota
from jobworker.spool.input import Inputs
from jobworker.spool.output import SpoolOutput
from jobworker.spool.record import (
    Deadline,
    Record,
    deadline,
    end_of,
    launch_record,
    parse,
    refusal_record,
    start_record,
    stop_request,
)
from jobworker.spool.removal import remove_tree
from jobworker.supervisor import records
from jobworker.supervisor.records import Fields

_FLOCK = struct.Struct("hhqqi4x")
"""A ``struct flock`` (fcntl(2)): type, whence, start, length, PID."""

_OUTPUT = (records.STDOUT, records.STDERR, records.INDEX)

_REMOVAL = 10.0
"""Seconds for the directory of a job whose program has not run: a few files."""


class Spool:
    """The directory of all live jobs; one subdirectory each."""

    def __init__(self, state: Path) -> None:
        directory = state / records.SPOOL
        directory.mkdir(mode=0o700, exist_ok=True)
        (state / records.EMPTY).mkdir(mode=0o555, exist_ok=True)
        self._root = records.open_directory(str(directory))
        self.inputs = Inputs(state, self._root)
        self._path = directory
        self._closed = False

    def __repr__(self) -> str:
        # How many jobs it holds is known to the disk alone, which a repr must not ask.
        return f"<Spool {self._path}, {'closed' if self._closed else 'open'}>"

    def close(self) -> None:
        """Closes the directory."""
        self._closed = True
        self.inputs.close()
        os.close(self._root)

    def create(self, job_id: JobId, spec: Fields) -> None:
        """Makes a job's directory with its spec; leaves nothing behind where that fails."""
        try:
            os.mkdir(job_id, 0o700, dir_fd=self._root)
            directory = records.open_directory(job_id, self._root)
            try:
                records.begin(directory, spec)
            finally:
                os.close(directory)
        except OSError as error:
            if not isinstance(error, FileExistsError):  # that directory is another job's
                self._remove(job_id, _REMOVAL)  # not its input, which another start may take
            raise

    def jobs(self) -> list[JobId]:
        """The jobs that have a directory, but for one that is half removed."""
        return [JobId.parse(name) for name in self._names() if not name.startswith(".")]

    def finish_removals(self, seconds: float) -> None:
        """Removes what an earlier server has half removed, or left of a try.

        It takes up to so many ``seconds`` for each directory, and goes on with the others
        where one cannot be removed; then it raises ``OSError`` in the end.
        """
        failure = None
        for name in self._names():
            if name.startswith("."):
                try:
                    remove_tree(name, self._root, seconds)
                except OSError as error:
                    failure = error
        if failure is not None:
            raise failure

    def _names(self) -> list[str]:
        return os.listdir(self._root)  # noqa: PTH208 - by descriptor

    def exists(self, job_id: JobId) -> bool:
        """Whether the job has a directory."""
        try:
            os.stat(job_id, dir_fd=self._root, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def shed(self, job_id: JobId) -> None:
        """Empties the files of an ended job's output.

        Emptied rather than unlinked, so that no reader holds the room any longer.
        """
        try:
            directory = self._open(job_id)
        except FileNotFoundError:
            return
        try:
            for name in os.listdir(directory):  # noqa: PTH208 - by descriptor
                if name.partition(".")[0] in _OUTPUT:
                    fd = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, dir_fd=directory)
                    os.close(fd)
        finally:
            os.close(directory)

    def remove(self, job_id: JobId, seconds: float = _REMOVAL) -> None:
        """Removes a job's directory, if there is one, after a rename to a dot-name.

        Raises ``TimeoutError`` where that takes more than so many ``seconds``; another call
        goes on.
        """
        self.inputs.drop(job_id)
        self._remove(job_id, seconds)

    def withdraw(self, job_id: JobId) -> None:
        """Removes the directory of a start that came to nothing; its input is kept again."""
        self.inputs.take_back(job_id)
        self._remove(job_id, _REMOVAL)

    def _remove(self, job_id: JobId, seconds: float) -> None:
        try:
            os.rename(job_id, f".{job_id}", src_dir_fd=self._root, dst_dir_fd=self._root)
        except FileNotFoundError:
            pass  # an earlier call may have come this far
        except OSError as error:
            # The new name may need a block that a full disk has not got.
            if error.errno not in disk.FULL:
                raise
            self.shed(job_id)
            os.rename(job_id, f".{job_id}", src_dir_fd=self._root, dst_dir_fd=self._root)
        quota.lift_left_over(f".{job_id}/{records.TMP}", self._root)
        self._remove_known_files(f".{job_id}")
        remove_tree(f".{job_id}", self._root, seconds)

    def _remove_known_files(self, directory: str) -> None:
        """Removes the files that are there as a rule, without listing the directory."""
        for name in (records.RECORD, records.STDOUT, records.STDERR, records.INDEX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/{name}", dir_fd=self._root)

    def supervised(self, job_id: JobId) -> bool:
        """Whether a supervisor holds the lock: asked of the kernel, not of a PID."""
        directory = self._open(job_id)
        try:
            fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(directory)
        return False

    def is_supervised(self, job_id: JobId) -> bool:
        """Whether the job has a directory, and a supervisor holds its lock."""
        return self.exists(job_id) and self.supervised(job_id)

    def order_taker(self) -> int | None:
        """The PID of a spawner that may still take orders; None where there is none.

        It has a lock of the kind that belongs to a process (fcntl(2)) on this directory.
        """
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._root, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else pid

    def record(self, job_id: JobId) -> Record:
        """The record of a job's start, stop and end."""
        directory = self._open(job_id)
        try:
            sections = records.read(directory)
        finally:
            os.close(directory)
        return Record(
            start=parse(start_record, sections.get(records.STARTED)),
            stop=parse(stop_request, sections.get(records.STOP)),
            deadline=parse(deadline, sections.get(records.DEADLINE)),
            end=parse(end_of, sections.get(records.EXIT)),
            input_over=records.EOF in sections,
            launch=parse(launch_record, sections.get(records.LAUNCH)),
            refusal=parse(refusal_record, sections.get(records.REFUSED)),
        )

    def note_stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Records a stop; the supervisor looks when it is notified, and once when it begins."""
        fields = [
            ("by", stop.by.encode()),
            ("at", time_text(stop.at).encode()),
            ("grace", b"%.3f" % stop.grace),
        ]
        self._note(job_id, records.STOP, fields)

    def note_deadline(self, job_id: JobId, moved: Deadline) -> None:
        """Records a change of the time limit, of which the supervisor learns likewise."""
        fields = [("timeout", b"%.3f" % moved.timeout), ("extendedBy", moved.by.encode())]
        self._note(job_id, records.DEADLINE, fields)

    def note_signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Notes who sends the program a signal, for the supervisor to tell if that ends it.

        It is not in the record, which only grows: a user may send any number of them.
        """
        directory = self._open(job_id)
        try:
            senders = records.senders(directory)
            senders[str(request.number)] = f"{time_text(request.at)} {request.by}".encode()
            data = records.pack(list(senders.items()))
            atomic_file.replace(records.SIGNALS, data, durable=False, dir_fd=directory)
        finally:
            os.close(directory)

    def note_end_of_input(self, job_id: JobId) -> None:
        """Records that the job's input is over, of which the supervisor learns likewise."""
        self._note(job_id, records.EOF, [])

    def note_void(self, job_id: JobId) -> None:
        """Records that the job's program is not to be executed any more."""
        self._note(job_id, records.VOID, [])

    def claim(self, job_id: JobId) -> int | None:
        """A descriptor of the job's directory, with its lock; None where a supervisor has that.

        As long as it is open, no supervisor can take charge of the job.
        """
        directory = self._open(job_id)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(directory)
            return None
        except BaseException:
            os.close(directory)
            raise
        return directory

    def release(self, claimed: int) -> None:
        """Gives a claim back."""
        os.close(claimed)

    def _note(self, job_id: JobId, section: str, fields: Fields) -> None:
        directory = self._open(job_id)
        try:
            records.append(directory, section, fields)
        finally:
            os.close(directory)

    def output(self, job_id: JobId) -> SpoolOutput:
        """A reader of what the job has written so far."""
        directory = self._open(job_id)
        try:
            return SpoolOutput(directory)
        finally:
            os.close(directory)

    def path(self, job_id: JobId) -> str:
        """The directory's path, by a name that stays right if the state directory moves."""
        return f"/proc/self/fd/{self._root}/{job_id}"

    def _open(self, job_id: JobId) -> int:
        return records.open_directory(job_id, self._root)
