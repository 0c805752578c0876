"""The engine of this machine: a spawner, a spool, and what comes of each job."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from jobworker import disk
from jobworker.config.jobs import DEFAULT, JobSettings
from jobworker.config.settings import Containment
from jobworker.engines.host import cgroup_upkeep
from jobworker.engines.host.enforcement import check_limits
from jobworker.engines.host.hiding import hidden_paths
from jobworker.engines.host.isolation import check_isolation
from jobworker.engines.host.machine import Machine
from jobworker.engines.host.uids import uid_of
from jobworker.engines.host.visibility import VisibilityWarnings
from jobworker.engines.local import signals
from jobworker.engines.local.account_files import AccountFiles, JobAccount
from jobworker.engines.local.adoption import Adoption
from jobworker.engines.local.drain import until_drained
from jobworker.engines.local.followed import LocalJob, Phase, Start
from jobworker.engines.local.input import LocalInput
from jobworker.engines.local.janitor import Janitor
from jobworker.engines.local.monitor import Monitor
from jobworker.engines.local.orders import Orders
from jobworker.engines.local.output import LocalOutput
from jobworker.engines.local.recovery import same_boot
from jobworker.engines.local.refusals import cannot, refusal
from jobworker.engines.local.spawner_link import SpawnerLink
from jobworker.engines.local.spec_record import spec_fields
from jobworker.engines.local.supervisors import notify
from jobworker.engines.local.unrecorded import end_of_unrecorded, stop_unrecorded, stopped_by
from jobworker.engines.spawner import SpawnerProcess, open_log
from jobworker.errors import ServiceUnavailable, StartFailed, reason_of
from jobworker.futures import resolve
from jobworker.jobs.lifecycle import Ended, Event, Lost, Refused, Started
from jobworker.jobs.ports import Listener
from jobworker.model import (
    NO_LIMITS,
    Grant,
    Job,
    JobId,
    Level,
    Limits,
    Safeguards,
    SignalRequest,
    Spec,
    StopRequest,
    Terms,
    brief,
)
from jobworker.output.watcher import Watcher
from jobworker.spool.record import (
    Deadline,
    RefusalRecord,
    end_of,
    refusal_record,
    start_record,
)
from jobworker.spool.spool import Spool
from jobworker.supervisor.names import OWN_NAMESPACES, OWN_UID
from jobworker.supervisor.records import Fields

log = logging.getLogger(__name__)


_ANSWER = 2.0
"""Seconds for the spawner to answer that it takes orders: what is before that in its socket
takes one at most."""


class LocalEngine:
    """Starts supervisors on this machine and follows them (``ports.Engine``)."""

    def __init__(self, state: Path, spool: Spool, machine: Machine, hidden: Sequence[Path]) -> None:
        self._state = state
        self._spool = spool
        self.machine = machine
        self._hidden = hidden
        self._listener: Listener = _nobody
        self._jobs: dict[JobId, LocalJob] = {}
        self._warnings = VisibilityWarnings(machine.containment)
        self._refusals: set[asyncio.Task[None]] = set()
        self._unwritten: dict[JobId, asyncio.Future[None]] = {}
        """The starts whose spec is not in the spool yet: what is to be noted there waits."""
        self._watcher = Watcher()
        self._monitor = Monitor(spool)
        self._accounts = AccountFiles(state)
        self._janitor = Janitor(spool, machine.cgroups)
        self._spawner = SpawnerLink(self._start_spawner, self._take, self._spawner_replaced)
        self._orders = Orders(spool, self._spawner, self._tell, self._find)
        self._adoption = Adoption(
            spool,
            self._jobs,
            self._monitor,
            self._orders,
            tell=self._tell,
            refuse=self._begin_to_refuse,
            gone=self._supervisor_gone,
            discard=self.discard,
        )
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
        safeguards: Safeguards | None = None,
        jobs: JobSettings = DEFAULT,
    ) -> AsyncIterator[LocalEngine]:
        """Finds out what this machine can do, and starts a spawner.

        What of the ``safeguards`` cannot be kept is logged. On leaving, supervisors and their
        spawner go on. Raises what ``Machine.survey`` does.
        """
        state = state.resolve()  # noqa: ASYNC240 - once, at start
        async with AsyncExitStack() as stack:
            spool = Spool(state)
            stack.callback(spool.close)
            machine = await asyncio.to_thread(
                Machine.survey, state, containment, ceiling, spool.is_supervised, safeguards, jobs
            )
            stack.push_async_callback(asyncio.to_thread, cgroup_upkeep.leave, machine.cgroups)
            await until_drained(spool)
            engine = cls(state, spool, machine, hidden_paths(state, hidden))
            stack.push_async_callback(engine._close)
            yield engine

    def __repr__(self) -> str:
        counts = dict.fromkeys(Phase, 0)
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
        self._adoption.close()
        self._orders.close()
        if self._refusals:  # each takes as long as a look
            await asyncio.wait(self._refusals)
        self._warnings.close()
        self._monitor.close()
        await self._spawner.close(wait=all(job.is_gone for job in self._jobs.values()))
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

    async def trouble(self) -> str | None:
        """The cause why no job can be started just now; None where there is none."""
        if await self._spawner.answers(_ANSWER):
            return None
        return "the spawner, which starts jobs, does not answer"

    async def visibility_warning(self, spec: Spec, terms: Terms, account: int) -> str | None:
        """The first path in ``spec`` that the job will not see, in words; or None."""
        uid = None if terms.run_as else self.uid(account)
        return await self._warnings.find(spec, uid)

    async def start(self, job: Job, account: int, grant: Grant) -> None:
        """Writes the spec and orders a supervisor; raises what ``check`` does."""
        self.check(job.spec, job.terms)
        uid = grant.run_as.uid if grant.run_as else self.uid(account)
        written = self._unwritten[job.id] = asyncio.get_running_loop().create_future()
        try:
            seen = await self._account(job.owner, uid, grant)
            self._spool.create(job.id, spec_fields(job, self.containment, grant, seen))
        except OSError as error:
            raise cannot("make the job's directory", error) from error
        finally:
            del self._unwritten[job.id]
            resolve(written)
        try:
            if job.spec.input:
                self._spool.inputs.place(job.id, job.spec.input)
        except OSError as error:
            self._spool.withdraw(job.id)
            raise cannot("give the job its input", error) from error
        known = LocalJob(Start(job, uid, offline=not grant.network))
        self._jobs[job.id] = known
        try:
            await self._orders.give(known)
        except OSError as error:
            del self._jobs[job.id]
            self._spool.remove(job.id)
            raise ServiceUnavailable(
                f"the spawner does not take orders: {reason_of(error)}"
            ) from error

    async def _account(self, owner: str, uid: int, grant: Grant) -> JobAccount | None:
        """The account that the job sees as its own; None where it sees the machine's alone."""
        if grant.run_as or self.containment not in OWN_NAMESPACES:
            return None
        gid = uid if self.containment in OWN_UID else os.getegid()
        return await self._accounts.account(owner, uid, gid)

    async def _until_written(self, job_id: JobId) -> None:
        if job_id in self._unwritten:
            await asyncio.wait({self._unwritten[job_id]})

    async def stop(self, job_id: JobId, stop: StopRequest) -> None:
        """Records the stop and notifies the supervisor; without a disk the kernel has to do."""
        await self._until_written(job_id)
        known = self._jobs.get(job_id)
        try:
            self._spool.note_stop(job_id, stop)
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # it has ended, or was refused, and is cleared away
        except OSError as error:
            if known is None or known.started is None or not disk.is_to_blame(error):
                raise
            log.warning("cannot record the stop of job %s, will kill it: %s", job_id, error)
            known.unrecorded = stop
            stop_unrecorded(known.started, stop.grace)
            return
        notify(start)

    async def signal(self, job_id: JobId, request: SignalRequest) -> None:
        """Sends a signal to the program; raises ``JobNotRunning`` where it has ended."""
        signals.send(self._spool, job_id, request)

    async def extend(self, job_id: JobId, timeout: float, by: str) -> None:
        """Records the new time limit and notifies the supervisor."""
        await self._until_written(job_id)
        try:
            self._spool.note_deadline(job_id, Deadline(timeout, by))
            start = self._spool.record(job_id).start
        except FileNotFoundError:
            return  # the same
        notify(start)

    async def withdraw(self, job_id: JobId) -> None:
        """Removes the directory of a refused start, once its supervisor has released it."""
        known = self._jobs.get(job_id)
        if known is not None:
            await known.until_gone()
            if known.phase is Phase.ABANDONED:
                await asyncio.to_thread(self._janitor.clear_up, job_id)
        await asyncio.to_thread(self._spool.withdraw, job_id)
        self._jobs.pop(job_id, None)

    async def shed(self, job_id: JobId) -> None:
        """Empties the output of a job that has ended."""
        await asyncio.to_thread(self._spool.shed, job_id)

    async def discard(self, job_id: JobId) -> None:
        """Removes the job's directory, once its supervisor has released it."""
        known = self._jobs.get(job_id)
        if known is not None:
            await known.until_gone()
        abandoned = known is not None and known.phase is Phase.ABANDONED
        await self._janitor.remove(job_id, abandoned=abandoned)
        self._jobs.pop(job_id, None)

    async def recover(self, jobs: Iterable[Job]) -> None:
        """Finds again the jobs that another server started, and clears away the rest."""
        known = {job.id for job in jobs}
        certain = same_boot(self._state)
        self._janitor.sweep()
        for job_id in self._spool.jobs():
            if job_id not in known:
                self._adoption.clear_away(job_id)
        for job_id in known:
            self._jobs[job_id] = LocalJob()
            self._adoption.adopt(job_id, same_boot=certain)

    def _spawner_replaced(self) -> None:
        """Follows one by one the supervisors of a spawner that was killed."""
        for job_id in list(self._jobs):
            self._adoption.adopt(job_id, same_boot=True, order_lost=True)

    def _find(self, job_id: JobId) -> None:
        """Looks at a job of which nothing was heard although its program runs."""
        self._adoption.adopt(job_id, same_boot=True)

    def _take(self, fields: Fields) -> None:
        """Acts on what the spawner or a supervisor tells of a job."""
        event = dict(fields)
        job_id = JobId.parse(event["job"].decode())
        known = self._jobs.get(job_id)
        if known is None or (known.phase >= Phase.TOLD and event["event"] != b"gone"):
            return
        match event["event"]:
            case b"started":
                start = known.started = start_record(fields)
                if known.start:
                    known.start.job = brief(known.start.job)
                self._tell(job_id, known, Started(start.pid, start.at))
            case b"refused":
                self._begin_to_refuse(known, refusal_record(fields))
            case b"lost":
                self._tell(job_id, known, Lost(event["why"].decode(), datetime.now(UTC)))
            case b"ended":
                self._tell(job_id, known, Ended(end_of(fields)))
            case b"gone":
                # One that broke has not cleaned up after its job.
                broke = event["status"] != b"0"
                self._supervisor_gone(job_id, known, broke=broke)

    def _begin_to_refuse(self, known: LocalJob, why: RefusalRecord) -> None:
        if known.start is None:
            return  # a start of another server's, which was told of it
        known.advance(Phase.TOLD)  # what comes next of it is not its end
        known.heard()
        task = asyncio.ensure_future(self._refuse(known.start, why))
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    async def _refuse(self, start: Start, why: RefusalRecord) -> None:
        job = start.job
        error = refusal(
            job.spec,
            job.terms,
            why.stage,
            why.errno,
            why.kind,
            await self._warnings.find(job.spec, start.uid),
        )
        if isinstance(error, StartFailed):
            log.error("cannot start job %s: %s", job.id, error)
        self._listener(job.id, Refused(error, datetime.now(UTC)))

    def _supervisor_gone(self, job_id: JobId, known: LocalJob, *, broke: bool = False) -> None:
        """Notes that no process of the job is left; the spool has all that is known of its end."""
        if known.phase < Phase.TOLD and known.unrecorded is None:
            self._find(job_id)
            return
        if known.phase < Phase.TOLD:
            broke = True
            self._tell(job_id, known, Ended(end_of_unrecorded(self._spool, job_id, known.started)))
        broke = broke or (known.start is not None and known.start.again)
        known.advance(Phase.ABANDONED if broke else Phase.GONE)

    def _tell(self, job_id: JobId, known: LocalJob, event: Event) -> None:
        if isinstance(event, Ended | Lost | Refused):
            known.advance(Phase.TOLD)
        known.begun = known.begun or isinstance(event, Started)
        known.heard()
        if isinstance(event, Ended) and known.unrecorded:
            event = Ended(stopped_by(event.end, known.unrecorded))
        self._listener(job_id, event)


def _nobody(_job_id: JobId, _event: Event) -> None:
    """Listens to nothing."""
