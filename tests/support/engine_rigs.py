"""Engines under the same tests: a rig for each says how their jobs are made to do things."""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from jobworker.engines.local.engine import LocalEngine
from jobworker.engines.local.spawner_link import resolve
from jobworker.errors import IsolationUnavailable, ProgramNotFound
from jobworker.jobs.lifecycle import Ended, Event, Started
from jobworker.jobs.ports import Engine
from jobworker.model import Grant, Input, Job, JobId, Spec, Starting, StopRequest, Stream, Terms
from jobworker.testing import FakeEngine
from support.supervisors import supervisor_of

BUDGET = 20.0
"""Seconds: far more than anything takes, on a machine that may be busy."""

E = TypeVar("E", bound=Event)


class Told:
    """What an engine has told of its jobs."""

    def __init__(self) -> None:
        self._events: list[tuple[JobId, Event]] = []
        self._more = asyncio.Event()

    def __call__(self, job_id: JobId, event: Event) -> None:
        self._events.append((job_id, event))
        self._more.set()

    def of(self, job: Job) -> list[Event]:
        return [event for job_id, event in self._events if job_id == job.id]

    async def first(self, job: Job, kind: type[E]) -> E:
        """The first event of that kind, once it has come."""
        async with asyncio.timeout(BUDGET):
            while True:
                for event in self.of(job):
                    if isinstance(event, kind):
                        return event
                self._more.clear()
                await self._more.wait()


class EngineRig(ABC):
    """An engine, what it has told, and what a test needs of the programs that it runs.

    ``OBEDIENT`` is a program that does what ``write``, ``exit`` and the like say; ``READER``
    one that reads its input to the end.
    """

    OBEDIENT: Spec
    READER: Spec
    MISSING = Spec("/no/such/program")
    UNAVAILABLE = Terms(network=False)

    engine: Engine
    told: Told

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def job(self, spec: Spec | None = None, terms: Terms | None = None) -> Job:
        """A job that is to be started, ``OBEDIENT`` where nothing else is said."""
        job = Job(
            JobId.new(),
            "alice",
            spec or self.OBEDIENT,
            terms or Terms(),
            Starting(),
            datetime.now(UTC),
            self.engine.containment,
            self.engine.node,
        )
        self._jobs.append(job)
        return job

    async def hand_over(self, job: Job) -> None:
        await self.engine.start(job, 0, Grant())

    async def start(self, spec: Spec | None = None, terms: Terms | None = None) -> Job:
        """Start a job; returns it once its program runs."""
        job = self.job(spec, terms)
        await self.hand_over(job)
        await self.told.first(job, Started)
        return job

    async def close(self) -> None:
        """Leave no job behind, whatever has become of the test."""
        async with asyncio.timeout(BUDGET):
            for job in self._jobs:
                await self.engine.stop(job.id, StopRequest("rig", datetime.now(UTC)))
                await self.engine.discard(job.id)
        await self.shut_down()

    @abstractmethod
    async def open(self) -> None:
        """Set up ``engine`` and ``told``, on the state of the engine before where there was one."""

    @abstractmethod
    async def shut_down(self) -> None:
        """Leave the jobs to themselves, as a server does that stops."""

    @abstractmethod
    async def expect_missing_program(self) -> None:
        """Have the next start refused with ``ProgramNotFound``; it is that of ``MISSING``."""

    @abstractmethod
    async def expect_unavailable(self) -> None:
        """Have ``UNAVAILABLE`` refused with ``IsolationUnavailable``."""

    @abstractmethod
    async def write(self, job: Job, text: str, stream: Stream = Stream.STDOUT) -> None:
        """Let the program write."""

    @abstractmethod
    async def exit(self, job: Job, code: int = 0) -> None:
        """Let the program exit, also where no engine is open; returns once the job is over."""

    @abstractmethod
    async def crash(self, job: Job) -> None:
        """Let the program end by SIGSEGV."""

    @abstractmethod
    async def lose(self, job: Job) -> None:
        """Let the job vanish without a record of its end."""

    @abstractmethod
    async def heed(self, job: Job, name: str) -> None:
        """Let the signal of that name, which was sent to the program, end it."""

    @abstractmethod
    async def resist(self, job: Job) -> None:
        """Let the program go on where a stop with a grace asks it to end."""

    @abstractmethod
    async def read_by(self, job: Job) -> bytes:
        """All that a ``READER`` has read, once it has come to the end of its input."""


class LocalRig(EngineRig):
    """The engine of this machine: its programs are told what to do through their input."""

    OBEDIENT = Spec(
        "/bin/sh", ("-c", 'while read -r line; do eval "$line"; done'), input=Input("pipe")
    )
    READER = Spec("/bin/cat", input=Input("pipe"))

    def __init__(self, state: Path) -> None:
        super().__init__()
        self._state = state
        self._opened = AsyncExitStack()

    async def open(self) -> None:
        opening = LocalEngine.open(self._state, "basic")
        self.engine = await self._opened.enter_async_context(opening)
        self.told = Told()
        self.engine.listen(self.told)

    async def shut_down(self) -> None:
        await self._opened.aclose()

    async def expect_missing_program(self) -> None:
        assert not Path(self.MISSING.program).exists()  # noqa: ASYNC240 - once

    async def expect_unavailable(self) -> None:
        """At level basic nothing can be kept from the network."""

    async def write(self, job: Job, text: str, stream: Stream = Stream.STDOUT) -> None:
        self._say(job, f"printf %s '{text}' >&{stream.value}")

    async def exit(self, job: Job, code: int = 0) -> None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pidfd = os.pidfd_open(supervisor_of(self._state, job.id))
        asyncio.get_running_loop().add_reader(pidfd, resolve, gone)
        try:
            self._say(job, f"exit {code}")
            await asyncio.wait_for(gone, BUDGET)
        finally:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)

    async def crash(self, job: Job) -> None:
        self._say(job, "kill -SEGV $$")

    async def lose(self, job: Job) -> None:
        os.kill(supervisor_of(self._state, job.id), signal.SIGKILL)

    async def heed(self, job: Job, name: str) -> None:
        """It does so by itself."""

    async def resist(self, job: Job) -> None:
        self._say(job, "trap '' TERM; echo deaf")
        await until_written(self.engine, job, b"deaf\n")

    async def read_by(self, job: Job) -> bytes:
        await self.told.first(job, Ended)
        return written(self.engine, job)

    def _say(self, job: Job, line: str) -> None:
        """Write to the job's pipe by ourselves: this is no test of input."""
        fd = os.open(self._state / "spool" / job.id / "stdin", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)


class FakeRig(EngineRig):
    """The engine of tests: the state that an engine leaves is that of the fake itself."""

    OBEDIENT = READER = Spec("/bin/program", input=Input("pipe"))
    engine: FakeEngine

    def __init__(self) -> None:
        super().__init__()
        self.engine = FakeEngine()

    async def open(self) -> None:
        self.told = Told()
        self.engine.listen(self.told)

    async def shut_down(self) -> None:
        self.engine.disconnect()

    async def close(self) -> None:
        self.engine.obeys = True
        await super().close()

    async def expect_missing_program(self) -> None:
        self.engine.refuse_next(ProgramNotFound())

    async def expect_unavailable(self) -> None:
        self.engine.unavailable = IsolationUnavailable()

    async def write(self, job: Job, text: str, stream: Stream = Stream.STDOUT) -> None:
        self.engine.write(job.id, text.encode(), stream)

    async def exit(self, job: Job, code: int = 0) -> None:
        self.engine.exit(job.id, code)

    async def crash(self, job: Job) -> None:
        self.engine.kill(job.id, "SIGSEGV")

    async def lose(self, job: Job) -> None:
        self.engine.lose(job.id)

    async def heed(self, job: Job, name: str) -> None:
        self.engine.kill(job.id, name)

    async def resist(self, job: Job) -> None:
        assert job in self._jobs
        self.engine.obeys = False

    async def read_by(self, job: Job) -> bytes:
        if job.spec.input == Input("pipe"):
            assert job.id in self.engine.input.over  # else it would go on reading
        self.engine.exit(job.id)
        return bytes(self.engine.input.data[job.id])


def written(engine: Engine, job: Job, stream: Stream = Stream.STDOUT) -> bytes:
    """What the job has written to ``stream`` so far."""
    reader = engine.output.reader(job.id)
    try:
        return reader.read(stream, 0, reader.size(stream)).data
    finally:
        reader.close()


async def until_written(
    engine: Engine, job: Job, data: bytes, stream: Stream = Stream.STDOUT
) -> None:
    """Return once that is what the job has written to ``stream``."""
    async with asyncio.timeout(BUDGET):
        while True:
            change = engine.output.change(job.id)
            if written(engine, job, stream) == data:
                change.cancel()
                return
            await change


async def until_removed(engine: Engine, job: Job) -> None:
    """Return once the engine keeps no output of the job."""
    async with asyncio.timeout(BUDGET):
        while True:
            try:
                await engine.output.change(job.id)
            except FileNotFoundError:
                return
