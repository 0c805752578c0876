"""The supervisor of one job: contain it, run it, attend it, record its end.

It trusts nobody and needs nobody: what it has to say stands in the spool, and telling
the server is a courtesy. In a PID namespace it is process 1, so that its death is the
death of everything in the job.
"""

from __future__ import annotations

import fcntl
import os
import time

from . import contain, kernel, records, scratch
from .attend import Attendance
from .launch import NotExecuted, Order, launch
from .site import OWN_NAMESPACES, Site


def supervise(site: Site, job_id: str, uid: int, channel: int) -> None:
    """See one job through, from its spec to its exit record. Runs in a fresh clone."""
    spool = records.open_directory(job_id, site.spool)
    # Held for life: whether a supervisor lives is asked of the kernel.
    fcntl.flock(spool, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        attendance = _start(site, job_id, uid, spool)
    except NotExecuted as failure:
        tell_refused(channel, job_id, failure.stage, failure.errno, failure.kind)
    except OSError as error:
        tell_refused(channel, job_id, f"setup ({error})", error.errno or 5)
    else:
        _tell(channel, "started", job_id, attendance.started)
        end = attendance.run()
        try:
            records.append(spool, records.EXIT, end, durable=True)
        except OSError:
            # The disk is full or broken. A server that lives learns of the end below.
            pass
        _tell(channel, "ended", job_id, end)
    scratch.remove(site, spool, job_id)


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


def _start(site: Site, job_id: str, uid: int, spool: int) -> Attendance:
    """Contain and execute the program; raises where either cannot be done."""
    if site.level == "namespaces":
        contain.map_own_user(site)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    order = Order.read(spool, uid)
    machine_proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    supervisor = records.process_identity(records.read_text("/proc/self/stat"))
    tmp = scratch.make(site, spool, job_id, uid)
    if site.level in OWN_NAMESPACES:
        contain.enter_file_system(site, job_id)
    else:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    attendance = Attendance(site, spool)
    program = launch(site, order, tmp, machine_proc)
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
