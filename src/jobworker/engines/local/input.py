"""The standard input of jobs on this machine: kept for their start, or fed while they run."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Collection, Iterator

from jobworker.engines.local.refusals import cannot
from jobworker.engines.local.supervisors import notify
from jobworker.errors import InputClosed
from jobworker.futures import until_writable
from jobworker.model import Job, JobId
from jobworker.spool import terminal
from jobworker.spool.spool import Spool


class LocalInput:
    """Keeps input beside the spool, and feeds jobs by their pipes (``ports.InputChannel``)."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def keep(self, job_id: JobId, data: bytes) -> None:
        """Writes it to a file of its own; raises ``StorageFull``, ``ServiceUnavailable``."""
        try:
            await asyncio.to_thread(self._spool.inputs.keep, job_id, data)
        except OSError as error:
            raise cannot("keep the job's input", error) from error

    async def drop(self, job_id: JobId) -> None:
        """Removes the file."""
        self._spool.inputs.drop(job_id)

    async def sweep(self, known: Collection[JobId]) -> None:
        """Removes the files of jobs that are not known."""
        await asyncio.to_thread(self._spool.inputs.sweep, known)

    def open(self, job: Job) -> PipeWriter:
        """Opens the job's pipe; raises ``InputClosed``, ``ServiceUnavailable``."""
        if job.spec.input is None or job.spec.input.kind == "given":
            raise InputClosed("the job was started without an input to feed")
        try:
            if self._spool.record(job.id).input_over:
                raise InputClosed("the end of the job's input has been sent already")
            fd = self._spool.inputs.open_pipe(job.id)
        except FileNotFoundError:
            raise InputClosed("the job has ended") from None
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise cannot("open the job's input", error) from error
            raise InputClosed("the program reads no more input") from None
        return PipeWriter(fd, is_terminal=job.spec.input.kind == "terminal")

    async def end(self, job_id: JobId) -> None:
        """Records that the input is over and notifies the supervisor."""
        try:
            self._spool.note_end_of_input(job_id)
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # it has ended
        notify(start)


class PipeWriter:
    """Writes to a job's pipe without holding up anybody else (``ports.InputWriter``).

    ``fd`` is its end of the pipe, not blocking, and closed with it. For a ``terminal``
    each piece is a frame.
    """

    def __init__(self, fd: int, *, is_terminal: bool) -> None:
        self._fd = fd
        self._is_terminal = is_terminal
        self.taken = 0

    async def write(self, data: bytes) -> None:
        """Returns once the pipe has taken all of ``data``; raises ``InputClosed``."""
        if not self._is_terminal:
            async for length in self._put(data):
                self.taken += length
            return
        for frame in _typed(data):
            async for length in self._put(frame):
                self.taken += length - terminal.FRAME.size  # a frame goes whole or not at all

    async def resize(self, rows: int, cols: int) -> None:
        """Tells the terminal its size, after what was written before."""
        body = terminal.SIZE.pack(rows, cols)
        async for _ in self._put(terminal.FRAME.pack(terminal.WINDOW, len(body)) + body):
            pass

    def close(self) -> None:
        """Closes the pipe; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _put(self, data: bytes) -> AsyncIterator[int]:
        """Writes all of ``data``, and yields the length of each part."""
        left = memoryview(data)
        while left:
            try:
                length = os.write(self._fd, left)
            except BlockingIOError:
                await until_writable(self._fd)
            except BrokenPipeError:
                raise InputClosed("the program reads no more input") from None
            else:
                left = left[length:]
                yield length


def _typed(data: bytes) -> Iterator[bytes]:
    most = terminal.MOST_TYPED
    for start in range(0, len(data), most):
        part = data[start : start + most]
        yield terminal.FRAME.pack(terminal.TYPED, len(part)) + part
