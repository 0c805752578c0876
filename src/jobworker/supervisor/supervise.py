"""The supervisor of one job: contain it, run it, attend it, record its end.

It trusts nobody and needs nobody: what it has to say stands in the spool, and telling
the server is a courtesy. In a PID namespace it is process 1, so that its death is the
death of everything in the job.
"""

from __future__ import annotations

import fcntl
import os
import time

from . import contain, kernel, network, records, scratch, tree
from .attend import Attendance
from .failure import NotExecuted
from .launch import Order, launch
from .pump import Pump
from .site import OWN_NAMESPACES, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroups import JobCgroup
    from .quota import TmpQuota

    Kept = list[JobCgroup | TmpQuota]
    """What keeps limits, to be removed in the end in any case."""

_OUT_OF_SPACE = (28, 122)
"""ENOSPC and EDQUOT: by number, as a module less is memory less in every supervisor."""

_PAUSE = 1.0
"""Seconds between attempts to record an end on a full disk. Nothing tells when it has room."""


def supervise(site: Site, job_id: str, uid: int, channel: int, *, offline: bool) -> None:
    """See one job through, from its spec to its exit record. Runs in a fresh clone.

    ``offline`` if that clone has a network namespace of its own.
    """
    kept: Kept = []
    try:
        spool = _take_charge(site, job_id)
        if offline:
            network.bring_up_loopback()
        attendance = _start(site, job_id, uid, spool, kept)
    except NotExecuted as failure:
        tell_refused(channel, job_id, failure.stage, failure.errno, failure.kind)
    except OSError as error:
        tree.end(site.level)  # the program may run already
        tell_refused(channel, job_id, f"setup ({error})", error.errno or 5)
    else:
        _tell(channel, "started", job_id, attendance.started)
        end = attendance.run()
        recorded = _record(spool, end)
        _tell(channel, "ended", job_id, end)
        while not recorded:
            time.sleep(_PAUSE)
            recorded = _record(spool, end)
    for keeper in kept:
        keeper.remove()
    scratch.remove(site, job_id)


def _take_charge(site: Site, job_id: str) -> int:
    """Open the job's directory, and lock it for life: whether a supervisor lives is asked of it."""
    spool = records.open_directory(job_id, site.spool)
    fcntl.flock(spool, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return spool


def _record(spool: int, end: records.Fields) -> bool:
    """Make the end durable; False where the disk is full and it is worth another try.

    A server that lives is told of the end in any case; for one that comes later the
    record is all there is. A disk that is broken will not get better by waiting.
    """
    try:
        records.append(spool, records.EXIT, end, durable=True)
    except OSError as error:
        return error.errno not in _OUT_OF_SPACE
    return True


def tell_refused(channel: int, job_id: str, stage: str, errno: int, kind: str = "other") -> None:
    """Tell the server that the program was not executed, and why."""
    why = [("stage", stage.encode()), ("errno", b"%d" % errno), ("kind", kind.encode())]
    _tell(channel, "refused", job_id, why)


def _tell(channel: int, event: str, job_id: str, fields: records.Fields) -> None:
    """Tell the server; without one there is nobody to tell, and the spool has it."""
    try:
        os.write(
            channel, records.pack([("event", event.encode()), ("job", job_id.encode()), *fields])
        )
    except (BrokenPipeError, ConnectionResetError):
        pass


def _start(site: Site, job_id: str, uid: int, spool: int, kept: Kept) -> Attendance:
    """Contain and execute the program; raises where either cannot be done."""
    if site.level == "namespaces":
        contain.map_own_user(site)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    order = Order.read(spool, uid)
    group = None
    if order.limits or site.ceiling:
        from .cgroups import JobCgroup  # noqa: PLC0415 - loaded by the spawner, see there

        group = JobCgroup(site.places, site.ceiling, job_id)
        kept.append(group)
        group.make(order.limits)
    machine_proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    supervisor = records.process_identity(records.read_text("/proc/self/stat"))
    tmp = scratch.make(site, spool, job_id, uid, order.gid)
    if order.tmp is not None:
        _limit_tmp(tmp, order.tmp, supervisor[0], kept)
    if site.level in OWN_NAMESPACES:
        contain.enter_file_system(site, job_id)
    else:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    pump = Pump(spool, order.output, kill_over=order.kill_over_output)
    attendance = Attendance(site, spool, pump, group)
    program = launch(site, order, group, tmp, machine_proc)
    started_at = b"%.6f" % time.time()
    for fd in (tmp, machine_proc):
        os.close(fd)
    started = [
        ("pid", b"%d" % program.machine_pid),
        ("startedAt", started_at),
        ("supervisor", b"%d" % supervisor[0]),
        ("supervisorStart", b"%d" % supervisor[1]),
        ("bootId", site.boot_id.encode()),
        ("containment", site.level.encode()),
    ]
    records.append(spool, records.STARTED, started)
    attendance.take_up(program, started)
    if order.timeout is not None:
        attendance.limit_time(order.timeout, order.grace)
    return attendance


def _limit_tmp(tmp: int, size: int, seed: int, kept: Kept) -> None:
    from .quota import TmpQuota  # noqa: PLC0415 - loaded by the spawner, see there

    quota = TmpQuota(tmp)
    kept.append(quota)
    try:
        quota.limit(size, seed)
    except OSError as error:
        raise NotExecuted(f"limits (tmp: {error})", error.errno or 5) from error
