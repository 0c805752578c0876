"""Execute the program: the supervisor puts on the job's shape for the moment of the spawn.

posix_spawn(3) shares the supervisor's memory with the child until its exec. A fork would
copy the supervisor instead, page by page as either side touches it, which measured as
most of the cost of a start. What posix_spawn cannot do for the child (user, working
directory) the supervisor does to itself around the call.
"""

from __future__ import annotations

import os

from . import kernel, records, signals
from .executable import Changed, image_of
from .site import OWN_NAMESPACES, OWN_UID, Site

_TYPE_MASK = 0o170000
_DIRECTORY = 0o040000
_ESTALE = 116


class NotExecuted(Exception):
    """The program was not executed; ``stage`` says at which step and ``errno`` why.

    ``kind`` tells apart what exec's errno does not: ``missing``, ``directory``,
    ``interpreter``, ``denied``, ``other``.
    """

    def __init__(self, stage: str, errno: int, kind: str = "other") -> None:
        super().__init__(f"{stage}: {os.strerror(errno)}")
        self.stage = stage
        self.errno = errno
        self.kind = kind


class Order:
    """What to execute, where, and as whom.

    ``executable`` is the identity of the program's file, where only that may be executed.
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
        self.executable = single.get("executable")

    @classmethod
    def read(cls, spool: int, uid: int) -> Order:
        """Read the spec that the server wrote."""
        return cls(records.read(spool)[records.SPEC], uid)


class Program:
    """The program as executed: its PID here and on the machine, and its output pipes."""

    def __init__(self, pid: int, machine_pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.machine_pid = machine_pid
        self.sources = (stdout, stderr)


def launch(site: Site, order: Order, tmp: int, proc: int) -> Program:
    """Execute the program; returns once its exec has succeeded, else raises ``NotExecuted``.

    ``tmp`` and ``proc`` are descriptors of the job's temporary directory and of the
    machine's ``/proc``.
    """
    stdout, stdout_in = os.pipe()
    stderr, stderr_in = os.pipe()
    _give_up_privileges(site)
    own_uid = site.level in OWN_UID
    try:
        if own_uid:
            _become_user(order)
        _enter_directory(site, order, tmp)
        pid = _spawn(order, stdout_in, stderr_in)
    finally:
        if own_uid:
            _become_root_again()
    os.close(stdout_in)
    os.close(stderr_in)
    return Program(pid, _machine_pid(pid, proc), stdout, stderr)


def _give_up_privileges(site: Site) -> None:
    """Give up, for the supervisor too, what its program must never gain."""
    if site.level == "namespaces":
        kernel.drop_bounding_set()  # a new user namespace comes with a full one
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.close_from_on_exec(3)


def _become_user(order: Order) -> None:
    """Be the job's user, keeping only the saved IDs to come back by.

    exec copies the effective IDs over the saved ones (execve(2)), so the program has no
    way back, and it starts without capabilities (capabilities(7)).
    """
    uid, gid, groups = order.uid, order.gid, order.groups
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, 0)
        os.setresuid(uid, uid, 0)
        ids = (os.getresuid(), os.getresgid(), set(os.getgroups()))
        if ids != ((uid, uid, 0), (gid, gid, 0), set(groups)):
            raise PermissionError(1, "the kernel did not change the user")
    except OSError as error:
        raise NotExecuted("credentials", error.errno or 5) from error


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


def _spawn(order: Order, stdout: int, stderr: int) -> int:
    program = order.argv[0]
    try:
        image = image_of(program, order.executable)
        try:
            return os.posix_spawn(
                image.path,
                order.argv,
                order.env,
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_DUP2, stderr, 2),
                    *image.spawn_actions(),
                ),
                setsid=True,
                setsigmask=(),
                setsigdef=signals.IGNORED,
            )
        finally:
            image.close()
    except Changed:
        raise NotExecuted("changed", _ESTALE) from None
    except OSError as error:
        errno = error.errno or 5
        raise NotExecuted("exec", errno, _kind_of_failure(program, errno)) from error


def _machine_pid(pid: int, proc: int) -> int:
    """The PID that the machine knows ``pid`` by.

    The fdinfo of a pidfd shows the PID as the PID namespace of that ``/proc`` has it
    (pidfd_open(2)), and ``proc`` is the machine's.
    """
    pidfd = os.pidfd_open(pid)
    try:
        info = records.read_text(f"self/fdinfo/{pidfd}", proc)
    finally:
        os.close(pidfd)
    return int(info.partition("\nPid:")[2].split(None, 1)[0])


def _kind_of_failure(program: bytes, errno: int) -> str:
    """Tell apart what exec's errno leaves open, as the job's own user sees it."""
    try:
        mode = os.stat(program).st_mode
    except PermissionError:
        return "denied"
    except OSError:
        return "missing"
    if mode & _TYPE_MASK == _DIRECTORY:
        return "directory"
    if errno == 2:  # ENOENT for a file that is there: its interpreter is not (execve(2))
        return "interpreter"
    if errno == 13:
        return "denied"
    return "other"
