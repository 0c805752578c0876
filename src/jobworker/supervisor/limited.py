"""Executes a program by a fork that becomes the job's user, under its limits, before its exec.

The supervisor waits meanwhile (``CLONE_VFORK``): it would copy each page that it touches,
and so would the child for as long as both have it. A failure comes back through a pipe
that exec closes. Where the child is exposed to other processes of its user, which may stop
it, the supervisor looks after it instead, and has it go on.
"""

from __future__ import annotations

import os
import resource
import select

from . import kernel, records, signals
from .cgroups import JobCgroup
from .executable import Changed, image_of
from .failure import ENOMEM, ESTALE, MEMORY_STAGE, NotExecuted, kind_of_failure, step_of
from .site import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .streams import Streams

    Step = Callable[[str], None]
    """A function that is told the name of the next step, for the report of its failure."""

_EPERM, _ENODEV, _ENOSYS = 1, 19, 38
_LOOK = 50
"""Milliseconds between looks whether somebody has stopped the child. An exec takes one or two;
a stop is announced to us by nothing that could be waited for together with the report."""

_ENDED_UNEXECUTED = 0x44
"""PF_FORKNOEXEC and PF_EXITING of ``linux/sched.h``, as in ``flags`` of ``/proc/PID/stat``."""


class Command:
    """A program to execute: its arguments, its streams, and how to become the job's user.

    ``executable`` is the identity of the file, where only that may be executed.
    """

    def __init__(
        self,
        argv: list[bytes],
        env: dict[bytes, bytes],
        executable: bytes | None,
        streams: Streams,
        be_the_job: Callable[[Step], None],
    ) -> None:
        self.argv = argv
        self.env = env
        self.executable = executable
        self.streams = streams
        self.be_the_job = be_the_job


class ProcessLimits:
    """The limits that a process puts on itself.

    Where no cgroup has ``counted`` the processes, a resource limit does: from Linux 5.14
    on it counts those of one user namespace, which are the supervisor and the job
    (``is_rlimit_overlimit`` in the kernel). It does not bind the machine's root.
    """

    def __init__(self, limits: dict[str, bytes], site: Site, *, counted: bool) -> None:
        self.resources: list[tuple[int, int]] = []
        if "pids" in limits and not counted:
            if site.level != "namespaces" or site.user[0] == 0:
                raise NotExecuted("limits (pids has no cgroup)", _ENODEV)
            self.resources.append((resource.RLIMIT_NPROC, int(limits["pids"]) + 1))
        if "openFiles" in limits:
            self.resources.append((resource.RLIMIT_NOFILE, int(limits["openFiles"])))
        self.nice = int(limits.get("nice", b"0"))

    def impose(self) -> None:
        """Puts this process under them. A stricter one that it has already stays."""
        for which, most in self.resources:
            hard = resource.getrlimit(which)[1]
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (value, value))
        if self.nice:
            current = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, 0, max(current, self.nice))


def spawn(
    command: Command, limits: ProcessLimits | None, group: JobCgroup | None, *, exposed: bool
) -> int:
    """Executes the program; returns its PID after the exec, or raises ``NotExecuted``.

    The child is ``exposed`` where other processes of its user can see it.
    """
    try:
        report, report_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        pid, unified = _fork(group, 0 if exposed else kernel.CLONE_VFORK)
    except OSError as error:
        raise NotExecuted(step_of("setup", error), error.errno or 5) from error
    if pid == 0:
        _be_program(command, limits, group, report_in, unified=unified)
    os.close(report_in)
    if exposed:
        _wait_for_exec(report, pid)
    try:
        failure = os.read(report, 256)
    except BlockingIOError:
        # We go on once the child has released its memory (CLONE_VFORK), and the pipe is
        # closed only after that. It has reported nothing, so its exec cannot fail any more,
        # or it is being killed.
        failure = b""
    finally:
        os.close(report)
    if failure:
        os.waitpid(pid, 0)
        stage, errno, kind = failure.decode().split("\n")
        raise NotExecuted(stage, int(errno), kind)
    return pid


def _wait_for_exec(report: int, pid: int) -> None:
    """Returns once the child has executed its program, has reported why not, or is dead."""
    poll = select.poll()
    poll.register(report, select.POLLIN)
    while not poll.poll(_LOOK):
        if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None:
            os.kill(pid, signals.SIGCONT)


def reject_unexecuted(pid: int, group: JobCgroup) -> None:
    """Raises ``NotExecuted`` where the memory limit is too small for the exec itself.

    A child that is killed for memory in its exec cannot report that itself.
    """
    if group.limits_memory and _never_executed(pid):
        os.waitpid(pid, 0)
        raise NotExecuted(MEMORY_STAGE, ENOMEM)


def _fork(group: JobCgroup | None, flags: int) -> tuple[int, bool]:
    """The child's PID, 0 in the child; and whether the child has to enter v2 itself."""
    if group is not None and group.unified is not None:
        try:
            return kernel.clone_into(group.unified, flags), False
        except OSError as error:
            # A filter of system calls cannot look at clone3's flags and forbids it whole.
            if error.errno not in (_ENOSYS, _EPERM):
                raise
    return kernel.clone(flags), True


def _be_program(
    command: Command,
    limits: ProcessLimits | None,
    group: JobCgroup | None,
    report: int,
    *,
    unified: bool,
) -> None:
    """Executes the program, in the child, or reports why not. Never returns."""
    stage = "cgroup"

    def step(name: str) -> None:
        nonlocal stage
        stage = name

    try:
        if group is not None:
            group.enter(unified=unified)
        step("setup")
        os.setsid()
        command.streams.take_place()
        command.be_the_job(step)
        step("exec")
        image = image_of(command.argv[0], command.executable)
        image.place()
        step("limits")
        if limits is not None:
            limits.impose()  # last, as with few descriptors we could open nothing more ourselves
        step("exec")
        signals.reset_for_program()
        os.execve(image.path, command.argv, command.env)
    except Changed:
        _report(report, "changed", ESTALE, "other")
    except NotExecuted as failure:
        _report(report, failure.stage, failure.errno, failure.kind)
    except OSError as error:
        errno = error.errno or 5
        kind = kind_of_failure(command.argv[0], errno) if stage == "exec" else "other"
        _report(report, stage, errno, kind)
    finally:
        os._exit(127)


def _report(report: int, stage: str, errno: int, kind: str) -> None:
    os.write(report, f"{stage}\n{errno}\n{kind}".encode())


def _never_executed(pid: int) -> bool:
    """Whether the child is ending without an exec.

    It need not be a zombie yet. In an exec that goes well the one flag may still stand for
    a moment, but not the other.
    """
    stat = records.read_text(f"/proc/{pid}/stat")
    flags = int(stat.rpartition(")")[2].split()[6])
    return flags & _ENDED_UNEXECUTED == _ENDED_UNEXECUTED
