"""The supervisor of one job: contains it, runs it, attends it, records its end.

It trusts nobody and needs nobody: all that it reports stands in the spool, and telling
the server is a courtesy. In a PID namespace it is process 1, so that its death is the
death of everything in the job.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sys
import time

from . import contain, kernel, network, oom_score, records, scratch, tree
from .attend import Attendance
from .failure import NotExecuted, Unattended, step_of
from .launch import Order, launch
from .pump import Pump
from .site import Site
from .streams import Pipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attend import Tap
    from .cgroups import JobCgroup
    from .quota import TmpQuota
    from .streams import Streams

    Kept = list[JobCgroup | TmpQuota]
    """The keepers of limits, to be removed in the end in any case."""

_OUT_OF_SPACE = (28, 122)
"""ENOSPC and EDQUOT: by number, as each module takes memory in every supervisor."""

_ECANCELED = 125

_UNKNOWN = -1_000_000
"""The size of a record in which the server has noted more than its order: no real one has it,
whatever we add, so that it will be read."""

_PAUSE = 1.0
"""Seconds between attempts to record an end on a full disk, which has no event to wait for."""


class Charge:
    """A job that is about to get its supervisor: its directory, locked, its order, its cgroup.

    The spawner makes it and hands it on with the clone. The spawner's memory is its own,
    while in the clone the same work would copy a page for most objects that it touches,
    which takes longer than the work. Raises ``OSError``; whatever it raises, nothing is left.
    """

    def __init__(self, site: Site, job_id: str, uid: int) -> None:
        self.job_id = job_id
        self.kept: Kept = []
        self.group: JobCgroup | None = None
        self.before, self.tight = b"", False
        if site.commons is not None:
            self.before, self.tight = site.commons.events(), site.commons.is_tight()
        self.spool = records.open_directory(job_id, site.spool)
        try:
            # The lock goes with the open file: the supervisor holds it for life, and so the
            # kernel knows whether there is one.
            fcntl.flock(self.spool, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Before it is read, so that of what comes meanwhile either of the two tells.
            self.size = os.stat(records.RECORD, dir_fd=self.spool).st_size
            sections = records.read(self.spool)
            self.order = Order(sections[records.SPEC], uid)
            if len(sections) > 1:
                self.size = _UNKNOWN
            if site.walls is not None and not site.walls.stand:
                site.walls.build()
            if self.order.limits or site.ceiling:
                self._make_cgroup(site)
        except BaseException:
            self.drop()
            raise

    def _make_cgroup(self, site: Site) -> None:
        from .cgroups import JobCgroup  # noqa: PLC0415 - loaded by the spawner, see there

        self.group = JobCgroup(site.places, site.ceiling, self.job_id)
        self.kept.append(self.group)
        self.group.make(self.order.limits)

    def hand_over(self) -> None:
        """Closes, in the spawner, what the supervisor has now."""
        os.close(self.spool)
        if self.group is not None:
            self.group.let_go()

    def drop(self) -> None:
        """Removes what was made, where there is to be no supervisor."""
        os.close(self.spool)
        for keeper in self.kept:
            keeper.remove()


def supervise(site: Site, charge: Charge, channel: int, *, offline: bool) -> None:
    """Sees one job through, from its spec to its exit record. It runs in a fresh clone.

    With ``offline`` that clone has a network namespace of its own.
    """
    job_id, spool = charge.job_id, charge.spool
    try:
        if offline:
            network.bring_up_loopback()
        attendance = _start(site, charge)
    except NotExecuted as failure:
        _refuse(charge, channel, refusal(failure.stage, failure.errno, failure.kind))
    except OSError as error:
        _refuse(charge, channel, refusal(step_of("setup", error), error.errno or 5))
    except Unattended as failure:
        tree.end(site.level)
        tell(channel, "lost", job_id, [("why", str(failure).encode())])
    else:
        tell(channel, "started", job_id, attendance.started)
        end = attendance.run()
        recorded = _record(spool, end)
        tell(channel, "ended", job_id, end)
        while not recorded:
            time.sleep(_PAUSE)  # room on a full disk has no event to wait for
            recorded = _record(spool, end)
    for keeper in charge.kept:
        keeper.remove()
    scratch.remove(site, job_id)


def _record(spool: int, end: records.Fields) -> bool:
    """Makes the end durable; False where the disk is full and it is worth another try.

    A living server is told of the end in any case; for one that comes later the
    record is all there is. A disk that is broken will not get better by waiting.
    """
    try:
        records.append(spool, records.EXIT, end, durable=True)
    except OSError as error:
        return error.errno not in _OUT_OF_SPACE
    return True


def refusal(stage: str, errno: int, kind: str = "other") -> records.Fields:
    """The account of why a program was not executed."""
    return [("stage", stage.encode()), ("errno", b"%d" % errno), ("kind", kind.encode())]


def _refuse(charge: Charge, channel: int, why: records.Fields) -> None:
    """Notes, for a server that comes later, and tells that the program was not executed."""
    try:
        records.append(charge.spool, records.REFUSED, why)
    except OSError as error:
        sys.stderr.write(f"cannot note that {charge.job_id} was not executed: {error}\n")
    tell(channel, "refused", charge.job_id, why)


def tell(channel: int, event: str, job_id: str, fields: records.Fields) -> None:
    """Tells the server, if there is one; else the spool has it."""
    try:
        os.write(
            channel, records.pack([("event", event.encode()), ("job", job_id.encode()), *fields])
        )
    except (BrokenPipeError, ConnectionResetError):
        pass


def _start(site: Site, charge: Charge) -> Attendance:
    """Contains and executes the program.

    Raises ``NotExecuted`` or ``OSError`` where it was surely not executed, else ``Unattended``.
    """
    order, spool = charge.order, charge.spool
    if site.level == "namespaces":
        contain.map_own_user(site)
        if site.processes is not None and "pids" not in order.limits:
            # Counted in this user namespace alone (limited.ProcessLimits).
            resource.setrlimit(resource.RLIMIT_NPROC, (site.processes, site.processes))
    score = oom_score.take_jobs(site.oom_scores, site.proc, tight=charge.tight)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    identity = records.process_identity(records.read_text("/proc/self/stat"))
    tmp = scratch.make(site, spool, charge.job_id, order.uid, order.gid)
    if order.tmp is not None:
        _limit_tmp(tmp, order.tmp, identity[0], charge.kept)
    if site.walls is not None:
        contain.enter_file_system(site, site.walls, charge.job_id, order)
    else:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    pump = Pump(spool, order.output, kill_over=order.kill_over_output)
    streams, tap = _streams(site, charge)
    attendance = Attendance(site, spool, pump, charge.group, tap)
    supervisor = [
        ("supervisor", b"%d" % identity[0]),
        ("supervisorStart", b"%d" % identity[1]),
        ("bootId", site.boot_id.encode()),
    ]
    # From this section on it is not certain that the program was never executed. The record
    # stays open for the one that follows: after the exec nothing more has to be opened for it.
    record = records.open_to_add(spool)
    size = charge.size + records.add(record, records.LAUNCH, supervisor)
    if records.is_void(record, spool, size):
        # The server has told that the program will not run. Where it does so later than we
        # look, it sees our section, and kills us.
        raise NotExecuted("given up", _ECANCELED)
    try:
        program = launch(site, order, charge.group, tmp, streams)
        if charge.tight:
            oom_score.raise_to_jobs(site.oom_scores, site.proc, program.machine_pid)
        oom_score.give_back(score, site.oom_scores)
        started = [
            ("pid", b"%d" % program.machine_pid),
            ("startedAt", b"%.6f" % time.time()),
            *supervisor,
            ("containment", site.level.encode()),
        ]
        size += records.add(record, records.STARTED, started)
    except OSError as error:
        # A program whose start is on no record could not be found again, nor stopped.
        raise Unattended(step_of("its start could not be recorded", error)) from error
    os.close(tmp)
    os.close(record)
    attendance.take_up(program, started, size, charge.before)
    if order.timeout is not None:
        attendance.limit_time(order.timeout, order.grace)
    return attendance


def _streams(site: Site, charge: Charge) -> tuple[Streams, Tap | None]:
    """The program's streams, and the source of its input, if it has any."""
    order, spool = charge.order, charge.spool
    if order.stdin is None:
        return Pipes(None), None
    if order.stdin == records.TERMINAL:
        from .terminal import Terminal  # noqa: PLC0415 - loaded by the spawner, see there

        terminal = Terminal(site, spool, (order.uid, order.gid))
        terminal.resize(*order.window)
        return terminal, terminal
    from .feed import Feed  # noqa: PLC0415 - loaded by the spawner, see there

    feed = Feed(spool, order.stdin)
    return Pipes(feed), feed


def _limit_tmp(tmp: int, size: int, seed: int, kept: Kept) -> None:
    from .quota import TmpQuota  # noqa: PLC0415 - loaded by the spawner, see there

    quota = TmpQuota(tmp)
    kept.append(quota)
    try:
        quota.limit(size, seed)
    except OSError as error:
        raise NotExecuted(step_of("limit of tmp", error), error.errno or 5) from error
