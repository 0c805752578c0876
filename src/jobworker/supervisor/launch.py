"""Executes the program, as the job's user, in the job's directory and under its limits.

posix_spawn(3) shares the supervisor's memory with the child until its exec. A fork would
copy the supervisor instead, page by page as either side touches it, which measured as
most of the cost of a start. posix_spawn cannot change the user or the directory for the
child, so the supervisor puts both on itself around the call. Under limits that are kept by
cgroups of v1 a thread makes the call from within them (``visit``); any others take the
fork (``limited``), as only the program's own process may be put under them.

At ``uid`` every program takes the fork: a supervisor that has a user's UID, be it for the
moment of a spawn, can be killed and stopped by all processes of that user (kill(2)). At
``full`` nobody else of that user sees it, and the program itself is below it: no signal
from there reaches the init of a PID namespace that has no handler for it, SIGKILL and
SIGSTOP included (pid_namespaces(7)). All else is denied at either level, as the supervisor
keeps capabilities that a job has not: its priority (``cap_safe_nice`` in the kernel's
``commoncap.c``), its memory (ptrace(2)).
"""

from __future__ import annotations

import os
import resource

from . import kernel, records, signals
from .account_files import mounts_of
from .executable import Changed, Image, image_of
from .failure import (
    E2BIG,
    EAGAIN,
    ENOMEM,
    ESTALE,
    MEMORY_STAGE,
    NotExecuted,
    kind_of_failure,
    step_of,
)
from .seal import seal
from .site import OWN_NAMESPACES, OWN_UID, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroups import JobCgroup
    from .limited import ProcessLimits, Step
    from .streams import Streams

LIMITS = ("memory", "cpus", "pids", "openFiles", "nice")
"""The limits of a spec that have to be set before its program is executed."""


class Order:
    """A program to execute: its arguments, directory, user and limits.

    ``executable`` is the identity of its file, where only that may be executed; ``hidden``
    is what it must not see of its account's home directory.
    """

    def __init__(self, spec: records.Fields, uid: int) -> None:
        self.uid = uid
        self.argv = [value for key, value in spec if key == "arg"]
        self.env = dict(value.split(b"=", 1) for key, value in spec if key == "env")
        single = dict(spec)
        self.cwd = single.get("cwd")
        self.timeout = float(single["timeout"]) if "timeout" in single else None
        self.grace = float(single.get("grace", 0))
        self.gid = int(single.get("gid", uid))
        self.groups = [int(value) for key, value in spec if key == "group"]
        self.hidden = [value for key, value in spec if key == "hide"]
        self.account_files = mounts_of(single["account"]) if "account" in single else []
        self.executable = single.get("executable")
        self.tmp = int(single["tmp"]) if "tmp" in single else None
        self.limits = {key: value for key, value in spec if key in LIMITS}
        self.output = int(single["output"]) if "output" in single else None
        self.stdin = single.get("stdin")
        self.window = (int(single.get("rows", 0)), int(single.get("cols", 0)))
        self.kill_over_output = single.get("outputAction") == b"kill"


class Program:
    """The program as executed: its PID here and on the machine, and its output descriptors."""

    def __init__(self, pid: int, machine_pid: int, sources: tuple[int, ...]) -> None:
        self.pid = pid
        self.machine_pid = machine_pid
        self.sources = sources


def launch(
    site: Site, order: Order, group: JobCgroup | None, tmp: int, streams: Streams
) -> Program:
    """Executes the program; returns once its exec has succeeded.

    Raises ``NotExecuted`` where it was surely not executed; any other error leaves that open.
    ``group`` is the job's cgroup, None where it has no limits. ``tmp`` is a descriptor of its
    temporary directory.
    """
    _give_up_privileges(site)
    try:
        if group is not None:
            pid = _spawn_limited(site, order, group, tmp, streams)
        elif site.level == "uid":
            pid = _fork(site, order, None, tmp, None, streams)
        else:
            pid = _spawn_as_user(site, order, tmp, lambda: _spawn(order, streams))
    except NotExecuted as failure:
        if failure.errno == EAGAIN and site.level in OWN_UID and _can_fork():
            failure.kind = "processes"
        raise
    streams.let_go()
    return Program(pid, _machine_pid(pid, site.proc), streams.sources)


def _can_fork() -> bool:
    """Whether root can: then it was the user who has too many, and not the machine."""
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def _give_up_privileges(site: Site) -> None:
    """Gives up, for the supervisor too, what its program must never have."""
    try:
        if site.level == "namespaces":
            kernel.drop_bounding_set()  # a new user namespace comes with a full one
        kernel.close_from_on_exec(3)
    except OSError as error:
        raise NotExecuted(step_of("privileges", error), error.errno or 5) from error


def _spawn_as_user(site: Site, order: Order, tmp: int, spawn: Callable[[], int]) -> int:
    try:
        seal(site)  # for the supervisor too, as posix_spawn has no step for it
    except OSError as error:
        raise NotExecuted(step_of("seal", error), error.errno or 5) from error
    own_uid = site.level in OWN_UID
    try:
        if own_uid:
            _become_user(order)
        _enter_directory(site, order, tmp)
        return spawn()
    finally:
        if own_uid:
            _become_root_again()


def _spawn_limited(site: Site, order: Order, group: JobCgroup, tmp: int, streams: Streams) -> int:
    from . import limited  # noqa: PLC0415 - loaded by the spawner, see there

    limits = limited.ProcessLimits(order.limits, site, counted=group.counts_processes)
    if group.takes_threads and not limits.resources and site.level != "uid":
        pid = _spawn_within(site, order, group, tmp, limits, streams)
    else:
        pid = _fork(site, order, group, tmp, limits, streams)
    limited.reject_unexecuted(pid, group)
    return pid


def _spawn_within(
    site: Site,
    order: Order,
    group: JobCgroup,
    tmp: int,
    limits: ProcessLimits,
    streams: Streams,
) -> int:
    from . import visit  # noqa: PLC0415 - loaded by the spawner, see there

    def spawn() -> int:
        return visit.spawn_within(lambda: _spawn(order, streams), limits, group)

    try:
        return _spawn_as_user(site, order, tmp, spawn)
    except NotExecuted as failure:
        # exec calls it E2BIG where it gets no memory for the arguments.
        if failure.errno in (ENOMEM, E2BIG) and group.was_full():
            raise NotExecuted(MEMORY_STAGE, ENOMEM) from failure
        raise


def _fork(
    site: Site,
    order: Order,
    group: JobCgroup | None,
    tmp: int,
    limits: ProcessLimits | None,
    streams: Streams,
) -> int:
    from . import limited  # noqa: PLC0415 - loaded by the spawner, see there

    def be_the_job(step: Step) -> None:
        step("seal")
        seal(site)  # not the supervisor, which makes this process by clone3
        if site.level in OWN_UID:
            step("credentials")
            _become_user_for_good(order, site.processes)
        step("cwd")
        _enter_directory(site, order, tmp)

    program = limited.Command(order.argv, order.env, order.executable, streams, be_the_job)
    pid = limited.spawn(program, limits, group, exposed=site.level == "uid")
    os.chdir("/")  # as is the supervisor of a job without limits, out of the state directory
    return pid


def _become_user(order: Order) -> None:
    """Becomes the job's user, keeping only the saved IDs to come back by.

    exec copies the effective IDs over the saved ones (execve(2)), so the program has no
    way back, and it starts without capabilities (capabilities(7)).
    """
    try:
        _change_user(order, saved_uid=0, saved_gid=0)
    except OSError as error:
        raise NotExecuted("credentials", error.errno or 5) from error


def _become_user_for_good(order: Order, processes: int | None) -> None:
    """Becomes the job's user for good: all three IDs, and so no capability either.

    Where that user has as many ``processes`` as it may, exec fails with EAGAIN. The kernel
    compares when the user changes and again at the exec (``flag_nproc_exceeded``,
    ``do_execveat_common``), at first without counting us: so one less is allowed until then.
    """
    if processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes - 1, processes))
    _change_user(order, saved_uid=order.uid, saved_gid=order.gid)
    if processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # a change of user may have set it (prctl(2))


def _change_user(order: Order, *, saved_uid: int, saved_gid: int) -> None:
    uids, gids = (order.uid, order.uid, saved_uid), (order.gid, order.gid, saved_gid)
    os.setgroups(order.groups)
    os.setresgid(*gids)
    os.setresuid(*uids)
    now = (os.getresuid(), os.getresgid(), set(os.getgroups()))
    if now != (uids, gids, set(order.groups)):
        raise PermissionError(1, "the kernel did not change the user")


def _become_root_again() -> None:
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    os.setgroups([])
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # a change of user may have set it (prctl(2))


def _enter_directory(site: Site, order: Order, tmp: int) -> None:
    try:
        if site.level in OWN_NAMESPACES:
            # By path: the descriptor is of the machine's mount, not of the job's.
            os.chdir("/tmp")  # noqa: S108 - the job's own
        else:
            os.fchdir(tmp)
        if order.cwd is not None:
            os.chdir(order.cwd)
    except OSError as error:
        raise NotExecuted("cwd", error.errno or 5) from error


def _spawn(order: Order, streams: Streams) -> int:
    image = _image(order)
    try:
        return os.posix_spawn(
            image.path,
            order.argv,
            order.env,
            file_actions=(*streams.spawn_actions(), *image.spawn_actions()),
            setsid=True,
            setsigmask=(),
            setsigdef=signals.IGNORED,
        )
    except OSError as error:
        raise _not_executed(order, error) from error
    finally:
        image.close()


def _image(order: Order) -> Image:
    try:
        return image_of(order.argv[0], order.executable)
    except Changed:
        raise NotExecuted("changed", ESTALE) from None
    except OSError as error:
        raise _not_executed(order, error) from error


def _not_executed(order: Order, error: OSError) -> NotExecuted:
    errno = error.errno or 5
    return NotExecuted("exec", errno, kind_of_failure(order.argv[0], errno))


def _machine_pid(pid: int, proc: int) -> int:
    """The PID by which the machine knows ``pid``.

    The fdinfo of a pidfd shows the PID as the PID namespace of that ``/proc`` has it
    (pidfd_open(2)), and ``proc`` is the machine's.
    """
    pidfd = os.pidfd_open(pid)
    try:
        info = records.read_text(f"self/fdinfo/{pidfd}", proc)
    finally:
        os.close(pidfd)
    return int(info.partition("\nPid:")[2].split(None, 1)[0])
