"""The engine of this machine: a spawner, a spool, and what comes of each job."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jobworker.config import Containment
from jobworker.engines import cgroup_upkeep, signalling
from jobworker.engines.accounts import uid_of
from jobworker.engines.cgroups import Cgroups, find
from jobworker.engines.commands import spec_fields
from jobworker.engines.feeding import PipeFeed
from jobworker.engines.isolation import check_isolation
from jobworker.engines.janitor import Janitor
from jobworker.engines.limits import Keeping, check_limits, table, words
from jobworker.engines.probe import choose, hidden_paths, pids_by_rlimit
from jobworker.engines.recovery import find_supervisor, same_boot, why_lost
from jobworker.engines.refusals import refusal
from jobworker.engines.spawning import SpawnerProcess, open_log
from jobworker.engines.tmp_quota import tmp_row
from jobworker.engines.visibility import blind_spot
from jobworker.errors import InputClosed, ServiceUnavailable, StartFailed, StorageFull
from jobworker.lifecycle import Ended, Extended, Lost, Refused, Started, StopAsked
from jobworker.model import (
    NO_LIMITS,
    Grant,
    Job,
    JobId,
    Level,
    Limits,
    SignalRequest,
    Spec,
    StopRequest,
)
from jobworker.output import Watcher
from jobworker.ports import Listener
from jobworker.spool import OUT_OF_SPACE, Deadline, Spool, StartRecord, end_of, start_record
from jobworker.spool_output import SpoolOutput
from jobworker.supervisor.records import Fields

log = logging.getLogger(__name__)

_UNKNOWN = -1
"""The UID of a job that another server started: it is not needed any more."""

_LOST = "its supervisor was killed"


@dataclass(slots=True)
class _Seat:
    """What the engine remembers of a job until its directory is gone.

    ``settled`` once the listener has been told of its end, ``abandoned`` where there was
    no supervisor any more to clean up after it.
    """

    spec: Spec
    uid: int
    settled: bool = False
    abandoned: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class LocalEngine:
    """Starts supervisors on this machine and follows them (``ports.Engine``)."""

    def __init__(
        self,
        state: Path,
        containment: Containment,
        hidden: Sequence[Path] = (),
        ceiling: Limits = NO_LIMITS,
    ) -> None:
        self._state = state.resolve()
        self._wanted = containment
        self._hidden = hidden_paths(self._state, hidden)
        self._ceiling = ceiling
        self._spool = Spool(self._state)
        self._seats: dict[JobId, _Seat] = {}
        self._pidfds: set[int] = set()
        self.node = socket.gethostname()
        self.containment: Level = "basic"
        self.limits: list[Keeping] = []
        """What keeps each limit here, or what is missing; known once it is open."""
        self.cgroups = Cgroups()

    async def open(self, listener: Listener) -> None:
        """Choose the level and the cgroups, start the spawner, and listen to it.

        Raises ``ContainmentUnavailable``, and ``LimitUnavailable`` where the ceiling of all
        jobs cannot be kept.
        """
        self._listener = listener
        try:
            await asyncio.to_thread(self._look_around)
        except BaseException:
            cgroup_upkeep.leave(self.cgroups)
            self._spool.close()
            raise
        self._janitor = Janitor(self._spool, self.cgroups)
        log.info("containment level is %s", self.containment)
        if self.containment == "basic":
            log.warning(
                "containment level basic: jobs run as the server's own user and can reach "
                "its files, each other and the server; run jobd only for people you trust"
            )
        self._watcher = Watcher()
        self._start_spawner()

    def _look_around(self) -> None:
        """Find out what can be had here, in this order: a spawner stays in our cgroup."""
        self.cgroups = find(self._state)
        cgroup_upkeep.sweep(self.cgroups, self._is_supervised)
        cgroup_upkeep.set_ceiling(self.cgroups, self._ceiling)
        self.containment = choose(self._wanted)
        self.limits = table(
            self.cgroups, self.containment, pids_by_rlimit, tmp_row(self.containment, self._state)
        )

    def _is_supervised(self, job_id: JobId) -> bool:
        return self._spool.exists(job_id) and self._spool.supervised(job_id)

    def _start_spawner(self) -> None:
        spawner_log = open_log(self._state)
        try:
            self._spawner = SpawnerProcess(
                self.containment,
                self._state,
                self._hidden,
                spawner_log,
                words(self.cgroups, self._ceiling),
            )
        finally:
            os.close(spawner_log)
        self._spawner.channel.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._spawner.channel, self._hear)
        loop.add_reader(self._spawner.pidfd, self._replace_spawner)

    async def close(self) -> None:
        """Hang up; supervisors and their spawner go on without us."""
        for pidfd in self._pidfds:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        self._leave_spawner()
        if all(seat.gone.is_set() for seat in self._seats.values()):
            await asyncio.to_thread(self._spawner.wait)
        await asyncio.to_thread(cgroup_upkeep.leave, self.cgroups)
        self._watcher.close()
        self._spool.close()

    def _leave_spawner(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._spawner.channel)
        loop.remove_reader(self._spawner.pidfd)
        self._spawner.close()

    def uid(self, account: int) -> int:
        """The UID that the account's jobs run as at the level in force."""
        own = self.containment in ("full", "uid")
        return uid_of(account) if own else os.geteuid()

    def check(self, spec: Spec) -> None:
        """Refuse what cannot be had or kept here.

        Raises ``LimitUnavailable`` or ``IsolationUnavailable``.
        """
        check_isolation(spec, self.containment)
        check_limits(spec.limits, self.limits)

    def blind_spot(self, spec: Spec, account: int) -> str | None:
        """What the spec names that the job will not see, in words; or None."""
        uid = None if spec.run_as else self.uid(account)
        return blind_spot(spec, self.containment, uid)

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Write the spec and order a supervisor; raises what ``check`` does."""
        self.check(job.spec)
        uid = grant.run_as.uid if grant.run_as else self.uid(account)
        try:
            self._spool.create(job.id, spec_fields(job, self.containment, grant))
        except OSError as error:
            raise ServiceUnavailable(f"cannot make the job's directory: {error}") from error
        try:
            if job.spec.input:
                self._spool.inputs.place(job.id, job.spec.input)
        except OSError as error:
            self._spool.remove(job.id)
            raise ServiceUnavailable(f"cannot give the job its input: {error}") from error
        self._seats[job.id] = _Seat(job.spec, uid)
        try:
            await self._order(job.id, uid, offline=not grant.network)
        except OSError as error:
            del self._seats[job.id]
            self._spool.remove(job.id)
            raise ServiceUnavailable(f"the spawner does not take orders: {error}") from error

    async def _order(self, job_id: JobId, uid: int, *, offline: bool) -> None:
        try:
            self._spawner.order(job_id, uid, offline=offline)
        except BlockingIOError:
            # Its queue is full: it makes hundreds a second, so this does not last.
            await self._until_writable()
            await self._order(job_id, uid, offline=offline)

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        channel = self._spawner.channel
        loop.add_writer(channel, _resolve, writable)
        try:
            await writable
        finally:
            loop.remove_writer(channel)

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Record the stop and poke the supervisor."""
        try:
            self._spool.note_stop(job_id, stop)
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # it has ended, or was refused, and is cleared away
        self._poke(start)

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Send a signal to the program; raises ``JobNotRunning`` where it has ended."""
        signalling.send(self._spool, job_id, request)

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Record the new time limit and poke the supervisor."""
        try:
            self._spool.note_deadline(job_id, Deadline(timeout, by))
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # the same
        self._poke(start)

    async def keep_input(self, job_id: JobId, data: bytes) -> None:
        """Write it to a file of its own."""
        try:
            await asyncio.to_thread(self._spool.inputs.keep, job_id, data)
        except OSError as error:
            if error.errno in OUT_OF_SPACE:
                raise StorageFull from error
            raise ServiceUnavailable(f"cannot keep the job's input: {error}") from error

    async def drop_input(self, job_id: JobId) -> None:
        """Remove the file."""
        self._spool.inputs.drop(job_id)

    async def sweep_inputs(self, known: Collection[JobId]) -> None:
        """Remove the files of jobs that are not known."""
        await asyncio.to_thread(self._spool.inputs.sweep, known)

    def open_input(self, job: Job) -> PipeFeed:
        """Open the job's pipe."""
        assert job.spec.input
        try:
            if self._spool.record(job.id).input_over:
                raise InputClosed("the end of the job's input has been sent already")
            fd = self._spool.inputs.open_pipe(job.id)
        except FileNotFoundError:
            raise InputClosed("the job has ended") from None
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise ServiceUnavailable(f"cannot open the job's input: {error}") from error
            raise InputClosed("the program reads no more input") from None
        return PipeFeed(fd, is_terminal=job.spec.input.kind == "terminal")

    async def end_input(self, job_id: JobId) -> None:
        """Record that the input is over and poke the supervisor."""
        try:
            self._spool.note_end_of_input(job_id)
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # it has ended
        self._poke(start)

    def _poke(self, start: StartRecord | None) -> None:
        """Make a supervisor look at its record; one that is just starting will anyway."""
        pidfd = find_supervisor(start)
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        except ProcessLookupError:
            return  # it has ended by itself
        finally:
            os.close(pidfd)

    def output(self, job_id: JobId) -> SpoolOutput:
        """What the job has written so far."""
        return self._spool.output(job_id)

    def change(self, job_id: JobId) -> asyncio.Future[None]:
        """Done at the first change of the job's output after this call."""
        return self._watcher.expect(self._spool.path(job_id))

    async def discard(self, job_id: JobId) -> None:
        """Remove the job's directory, once its supervisor has let go of it."""
        seat = self._seats.get(job_id)
        if seat is not None:
            await seat.gone.wait()
        await self._janitor.remove(job_id, abandoned=bool(seat and seat.abandoned))
        self._seats.pop(job_id, None)

    def _hear(self) -> None:
        """Take all events that the spawner and its supervisors have sent."""
        while True:
            try:
                event = self._spawner.receive()
            except BlockingIOError:
                return
            if event is None:  # gone; its pidfd says so too, and may be relied on
                asyncio.get_running_loop().remove_reader(self._spawner.channel)
                return
            self._take(event)

    def _take(self, fields: Fields) -> None:
        event = dict(fields)
        job_id = JobId.parse(event["job"].decode())
        seat = self._seats.get(job_id)
        if seat is None:
            return
        match event["event"]:
            case b"started":
                start = start_record(fields)
                self._listener(job_id, Started(start.pid, start.at))
            case b"refused":
                self._refuse(job_id, seat, event)
            case b"ended":
                seat.settled = True
                self._listener(job_id, Ended(end_of(fields)))
            case b"gone":
                # One that broke has not cleaned up after its job.
                seat.abandoned = event["status"] != b"0"
                self._supervisor_gone(job_id, seat)

    def _refuse(self, job_id: JobId, seat: _Seat, event: dict[str, bytes]) -> None:
        seat.settled = True
        error = refusal(
            seat.spec,
            event["stage"].decode(),
            int(event["errno"]),
            event["kind"].decode(),
            blind_spot(seat.spec, self.containment, seat.uid),
        )
        if isinstance(error, StartFailed):
            log.error("cannot start job %s: %s", job_id, error)
        self._listener(job_id, Refused(error, datetime.now(UTC)))

    def _supervisor_gone(self, job_id: JobId, seat: _Seat) -> None:
        """No process of the job is left; whatever there is to know stands in the spool."""
        if not seat.settled:
            seat.abandoned = True
            end = self._spool.record(job_id).end
            lost = Lost(_LOST, datetime.now(UTC))
            self._listener(job_id, Ended(end) if end else lost)
        seat.settled = True
        seat.gone.set()

    def _replace_spawner(self) -> None:
        """The spawner was killed: its supervisors live on, followed one by one from here."""
        log.error("the spawner is gone; starting another")
        self._hear()
        self._leave_spawner()
        self._spawner.wait()
        self._start_spawner()
        for job_id, seat in list(self._seats.items()):
            if not seat.gone.is_set():
                self._adopt(job_id, seat)

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Find again the jobs that another server started, and clear away the rest."""
        known = {job.id: job for job in jobs}
        certain = same_boot(self._state)
        for job_id in self._spool.jobs():
            if job_id not in known:
                self._clear_away(job_id)
        for job in known.values():
            self._seats[job.id] = seat = _Seat(job.spec, uid=_UNKNOWN)
            if not self._spool.exists(job.id):
                why = "the server stopped before the program was started"
                seat.settled = True
                seat.gone.set()
                self._listener(job.id, Lost(why, datetime.now(UTC), never_ran=certain))
                continue
            self._adopt(job.id, seat)

    def _adopt(self, job_id: JobId, seat: _Seat) -> None:
        """Follow a supervisor that is not (any more) our spawner's."""
        # The lock is asked for first: who holds none any more records no more.
        supervised = self._spool.supervised(job_id)
        record = self._spool.record(job_id)
        if record.start:
            self._listener(job_id, Started(record.start.pid, record.start.at))
        if record.deadline and not record.end and not record.stop:
            self._listener(job_id, Extended(record.deadline.timeout, record.deadline.by))
        if record.end and not seat.settled:
            seat.settled = True
            self._listener(job_id, Ended(record.end))
        elif record.stop and supervised:
            self._listener(job_id, StopAsked(record.stop))
        if supervised:
            self._watch_supervisor(job_id, seat, record.start)
        else:
            self._finish_unsupervised(job_id, seat, record.start)

    def _finish_unsupervised(self, job_id: JobId, seat: _Seat, start: StartRecord | None) -> None:
        seat.abandoned = True
        if not seat.settled:
            seat.settled = True
            ours = seat.uid != _UNKNOWN
            if ours and not start:
                error = ServiceUnavailable("the spawner was killed before the start; try again")
                self._listener(job_id, Refused(error, datetime.now(UTC)))
            else:
                self._listener(job_id, Lost(why_lost(start), datetime.now(UTC)))
        seat.gone.set()

    def _watch_supervisor(self, job_id: JobId, seat: _Seat, start: StartRecord | None) -> None:
        """Be told when the supervisor ends: by a pidfd, or in a thread by its lock."""
        loop = asyncio.get_running_loop()
        pidfd = find_supervisor(start)
        if pidfd is None:
            waiting = loop.run_in_executor(None, self._spool.wait_until_unsupervised, job_id)
            waiting.add_done_callback(lambda _: self._supervisor_gone(job_id, seat))
            return

        def on_exit() -> None:
            loop.remove_reader(pidfd)
            self._pidfds.remove(pidfd)
            os.close(pidfd)
            self._supervisor_gone(job_id, seat)

        self._pidfds.add(pidfd)
        loop.add_reader(pidfd, on_exit)

    def _clear_away(self, job_id: JobId) -> None:
        """Remove the directory of a job that nobody was told of."""
        if not self._spool.supervised(job_id):
            self._spool.remove(job_id)
            return
        seat = self._seats[job_id] = _Seat(Spec(program=""), uid=_UNKNOWN, settled=True)
        start = self._spool.record(job_id).start
        self._spool.note_stop(job_id, StopRequest("jobd", datetime.now(UTC)))
        self._poke(start)
        self._watch_supervisor(job_id, seat, start)
        task = asyncio.ensure_future(self.discard(job_id))
        task.add_done_callback(_report)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _report(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("cannot remove what is left of a job: %s", error)
