"""The engine of this machine: a spawner, a spool, and what comes of each job."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from jobworker.config.jobs import DEFAULT, JobSettings
from jobworker.config.settings import Containment
from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.enforcement import check_limits
from jobworker.engines.host.isolation import check_isolation
from jobworker.engines.host.machine import Machine
from jobworker.engines.host.probe import hidden_paths
from jobworker.engines.host.uids import uid_of
from jobworker.engines.host.visibility import visibility_warning
from jobworker.engines.local import signals
from jobworker.engines.local.account_files import AccountFiles, JobAccount
from jobworker.engines.local.input import LocalInput
from jobworker.engines.local.janitor import Janitor
from jobworker.engines.local.monitor import Monitor
from jobworker.engines.local.output import LocalOutput
from jobworker.engines.local.recovery import KILLED, Evidence, same_boot, standing
from jobworker.engines.local.refusals import refusal
from jobworker.engines.local.spawner_link import SpawnerLink
from jobworker.engines.local.spec_record import spec_fields
from jobworker.engines.local.supervisors import notify
from jobworker.engines.spawner import SpawnerProcess, open_log
from jobworker.errors import ServiceUnavailable, StartFailed, StorageFull
from jobworker.jobs.lifecycle import Ended, Event, Lost, Refused, Started
from jobworker.jobs.ports import Listener
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
    Terms,
)
from jobworker.output.watcher import Watcher
from jobworker.spool.record import Deadline, end_of, start_record
from jobworker.spool.spool import OUT_OF_SPACE, Spool
from jobworker.supervisor import records
from jobworker.supervisor.records import Fields
from jobworker.supervisor.site import OWN_NAMESPACES, OWN_UID

log = logging.getLogger(__name__)


class _Phase(IntEnum):
    """The engine's progress with a job; it never goes back."""

    FOLLOWED = 0
    """Its supervisor was ordered, or found again."""
    TOLD = 1
    """The listener knows of its end; its supervisor may be about to go."""
    GONE = 2
    """No process of it is left."""
    ABANDONED = 3
    """No process of it is left, and its supervisor did not clean up after it."""


@dataclass(slots=True)
class _LocalJob:
    """The engine's memory of a job, kept until its directory is gone.

    ``job`` and ``uid`` are those of a start that this very server has ordered.
    """

    job: Job | None = None
    uid: int | None = None
    phase: _Phase = _Phase.FOLLOWED
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self, phase: _Phase) -> None:
        self.phase = max(self.phase, phase)
        if self.phase >= _Phase.GONE:
            self.gone.set()


class LocalEngine:
    """Starts supervisors on this machine and follows them (``ports.Engine``)."""

    def __init__(self, state: Path, spool: Spool, machine: Machine, hidden: Sequence[Path]) -> None:
        self._state = state
        self._spool = spool
        self.machine = machine
        self._hidden = hidden
        self._listener: Listener = _nobody
        self._jobs: dict[JobId, _LocalJob] = {}
        self._watcher = Watcher()
        self._monitor = Monitor(spool)
        self._accounts = AccountFiles(state)
        self._janitor = Janitor(spool, machine.cgroups)
        self._spawner = SpawnerLink(self._start_spawner, self._take, self._adopt_all)
        self.output = LocalOutput(spool, self._watcher)
        self.input = LocalInput(spool)
        self.node = socket.gethostname()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        state: Path,
        containment: Containment,
        hidden: Sequence[Path] = (),
        ceiling: Limits = NO_LIMITS,
        jobs: JobSettings = DEFAULT,
    ) -> AsyncIterator[LocalEngine]:
        """Finds out what this machine can do, and starts a spawner.

        On leaving, supervisors and their spawner go on. Raises what
        ``Machine.survey`` does.
        """
        state = state.resolve()  # noqa: ASYNC240 - once, at start
        async with AsyncExitStack() as stack:
            spool = Spool(state)
            stack.callback(spool.close)
            machine = await asyncio.to_thread(
                Machine.survey, state, containment, ceiling, spool.is_supervised, jobs
            )
            stack.push_async_callback(asyncio.to_thread, cgroup_upkeep.leave, machine.cgroups)
            engine = cls(state, spool, machine, hidden_paths(state, hidden))
            stack.push_async_callback(engine._close)
            yield engine

    def __repr__(self) -> str:
        counts = dict.fromkeys(_Phase, 0)
        for known in self._jobs.values():
            counts[known.phase] += 1
        told = ", ".join(f"{count} {phase.name}" for phase, count in counts.items() if count)
        return f"<LocalEngine {self.containment}: {told or 'no jobs'}>"

    @property
    def containment(self) -> Level:
        """The level that jobs get."""
        return self.machine.containment

    def _start_spawner(self) -> SpawnerProcess:
        spawner_log = open_log(self._state)
        try:
            return SpawnerProcess(
                self.containment,
                self._state,
                self._hidden,
                spawner_log,
                self.machine.spawner_arguments,
            )
        finally:
            os.close(spawner_log)

    async def _close(self) -> None:
        self._monitor.close()
        await self._spawner.close(wait=all(job.gone.is_set() for job in self._jobs.values()))
        await self._janitor.close()
        self._watcher.close()

    def listen(self, listener: Listener) -> None:
        """Tells ``listener`` of everything that happens to jobs from now on."""
        self._listener = listener

    def uid(self, account: int) -> int:
        """The UID that the account's jobs run as at the effective level."""
        return uid_of(account, self.containment, self.machine.uids)

    def check(self, spec: Spec, terms: Terms) -> None:
        """Refuses a job that asks for what is not available here.

        Raises ``LimitUnavailable`` or ``IsolationUnavailable``.
        """
        check_isolation(spec, terms, self.containment)
        check_limits(terms.limits, self.machine.limits)

    def visibility_warning(self, spec: Spec, terms: Terms, account: int) -> str | None:
        """The first path in ``spec`` that the job will not see, in words; or None."""
        uid = None if terms.run_as else self.uid(account)
        return visibility_warning(spec, self.containment, uid)

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Writes the spec and orders a supervisor; raises what ``check`` does."""
        self.check(job.spec, job.terms)
        uid = grant.run_as.uid if grant.run_as else self.uid(account)
        try:
            seen = await self._account(job.owner, uid, grant)
            self._spool.create(job.id, spec_fields(job, self.containment, grant, seen))
        except OSError as error:
            raise ServiceUnavailable(f"cannot make the job's directory: {error}") from error
        try:
            if job.spec.input:
                self._spool.inputs.place(job.id, job.spec.input)
        except OSError as error:
            self._spool.remove(job.id)
            raise ServiceUnavailable(f"cannot give the job its input: {error}") from error
        self._jobs[job.id] = _LocalJob(job, uid)
        try:
            await self._spawner.order(job.id, uid, offline=not grant.network)
        except OSError as error:
            del self._jobs[job.id]
            self._spool.remove(job.id)
            raise ServiceUnavailable(f"the spawner does not take orders: {error}") from error

    async def _account(self, owner: str, uid: int, grant: Grant) -> JobAccount | None:
        """The account that the job sees as its own; None where it sees the machine's alone."""
        if grant.run_as or self.containment not in OWN_NAMESPACES:
            return None
        gid = uid if self.containment in OWN_UID else os.getegid()
        try:
            return await self._accounts.account(owner, uid, gid)
        except OSError as error:
            if error.errno in OUT_OF_SPACE:
                raise StorageFull from error
            raise

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Records the stop and notifies the supervisor."""
        try:
            self._spool.note_stop(job_id, stop)
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # it has ended, or was refused, and is cleared away
        notify(start)

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Sends a signal to the program; raises ``JobNotRunning`` where it has ended."""
        signals.send(self._spool, job_id, request)

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Records the new time limit and notifies the supervisor."""
        try:
            self._spool.note_deadline(job_id, Deadline(timeout, by))
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # the same
        notify(start)

    async def discard(self, job_id: JobId) -> None:
        """Removes the job's directory, once its supervisor has released it."""
        known = self._jobs.get(job_id)
        if known is not None:
            await known.gone.wait()
        abandoned = known is not None and known.phase is _Phase.ABANDONED
        await self._janitor.remove(job_id, abandoned=abandoned)
        self._jobs.pop(job_id, None)

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Finds again the jobs that another server started, and clears away the rest."""
        known = {job.id for job in jobs}
        certain = same_boot(self._state)
        self._janitor.sweep()
        for job_id in self._spool.jobs():
            if job_id not in known:
                self._clear_away(job_id)
        for job_id in known:
            self._jobs[job_id] = _LocalJob()
            self._adopt(job_id, same_boot=certain)

    def _adopt_all(self) -> None:
        """Follows one by one the supervisors of a spawner that was killed."""
        for job_id, known in list(self._jobs.items()):
            if known.phase < _Phase.GONE:
                self._adopt(job_id, same_boot=True)

    def _adopt(self, job_id: JobId, *, same_boot: bool) -> None:
        """Follows a supervisor that is not (any more) our spawner's."""
        known = self._jobs[job_id]
        found = self._spool.exists(job_id)
        # The lock is asked for first: who holds none any more records no more.
        supervised = found and self._spool.supervised(job_id)
        record = self._spool.record(job_id) if found else None
        evidence = Evidence(
            record=record,
            supervised=supervised,
            boot_id=records.boot_id(),
            same_boot=same_boot,
            ours=known.job is not None,
            told=known.phase >= _Phase.TOLD,
        )
        stands = standing(evidence, datetime.now(UTC))
        for event in stands.events:
            self._tell(job_id, known, event)
        if stands.supervised:
            start = record.start if record else None
            self._monitor.watch(job_id, start, lambda: self._supervisor_gone(job_id, known))
        else:
            known.advance(_Phase.ABANDONED if found else _Phase.GONE)

    def _clear_away(self, job_id: JobId) -> None:
        """Removes all that is left of a job that nobody was told of, or that has been archived."""
        known = self._jobs[job_id] = _LocalJob(phase=_Phase.TOLD)
        if self._spool.supervised(job_id):
            start = self._spool.record(job_id).start
            self._spool.note_stop(job_id, StopRequest("jobd", datetime.now(UTC)))
            notify(start)
            self._monitor.watch(job_id, start, lambda: self._supervisor_gone(job_id, known))
        else:
            known.advance(_Phase.ABANDONED)
        task = asyncio.ensure_future(self.discard(job_id))
        task.add_done_callback(_report)

    def _take(self, fields: Fields) -> None:
        """Acts on what the spawner or a supervisor tells of a job."""
        event = dict(fields)
        job_id = JobId.parse(event["job"].decode())
        known = self._jobs.get(job_id)
        if known is None:
            return
        match event["event"]:
            case b"started":
                start = start_record(fields)
                self._tell(job_id, known, Started(start.pid, start.at))
            case b"refused":
                self._refuse(job_id, known, event)
            case b"ended":
                self._tell(job_id, known, Ended(end_of(fields)))
            case b"gone":
                # One that broke has not cleaned up after its job.
                broke = event["status"] != b"0"
                self._supervisor_gone(job_id, known, broke=broke)

    def _refuse(self, job_id: JobId, known: _LocalJob, event: dict[str, bytes]) -> None:
        if known.job is None:
            return  # a start of another server's, which was told of it
        error = refusal(
            known.job.spec,
            known.job.terms,
            event["stage"].decode(),
            int(event["errno"]),
            event["kind"].decode(),
            visibility_warning(known.job.spec, self.containment, known.uid),
        )
        if isinstance(error, StartFailed):
            log.error("cannot start job %s: %s", job_id, error)
        self._tell(job_id, known, Refused(error, datetime.now(UTC)))

    def _supervisor_gone(self, job_id: JobId, known: _LocalJob, *, broke: bool = False) -> None:
        """Notes that no process of the job is left; the spool has all that is known of its end."""
        if known.phase < _Phase.TOLD:
            broke = True
            end = self._spool.record(job_id).end
            self._tell(job_id, known, Ended(end) if end else Lost(KILLED, datetime.now(UTC)))
        known.advance(_Phase.ABANDONED if broke else _Phase.GONE)

    def _tell(self, job_id: JobId, known: _LocalJob, event: Event) -> None:
        if isinstance(event, Ended | Lost | Refused):
            known.advance(_Phase.TOLD)
        self._listener(job_id, event)


def _nobody(_job_id: JobId, _event: Event) -> None:
    """Listens to nothing."""


def _report(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("cannot remove what is left of a job: %s", error)
