"""System calls that Python's ``os`` lacks, each a thin function that raises ``OSError``.

Numbers are from the kernel's ``unistd.h`` for the two machines that we know; the
constants from ``sched.h``, ``mount.h``, ``prctl.h``, ``close_range.h``, ``seccomp.h``,
``landlock.h`` and ``quota.h``.
"""

from __future__ import annotations

import ctypes
import os

CLONE_VFORK = 0x0000_4000
CLONE_NEWNS = 0x0002_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_EINVAL = 22
_ENOSYS = 38
_SIGCHLD = 17
_CLONE_INTO_CGROUP = 0x2_0000_0000
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_CLOSE_RANGE_CLOEXEC = 4
_SFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_INOTIFY_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_NAMES = 0x40 | 0x80 | 0x100 | 0x200
"""IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE and IN_DELETE."""
_LAST_CAPABILITY = 63
_ARG_START = 45
"""The index of the field among those that follow the name of the command."""

_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
_FILTER_INSTRUCTION = 8
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1

_PRJQUOTA = 2

_NUMBERS = {
    "x86_64": {"clone": 56, "signalfd4": 289, "socket": 41, "seccomp": 317},
    "aarch64": {"clone": 220, "signalfd4": 74, "socket": 198, "seccomp": 277},
}
_SAME_EVERYWHERE = {
    "clone3": 435,
    "close_range": 436,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
MACHINE = os.uname().machine
_NUMBER = _NUMBERS[MACHINE] | _SAME_EVERYWHERE if MACHINE in _NUMBERS else {}

# PyDLL keeps the interpreter lock: a clone would otherwise come back in a child whose
# lock is held by a thread that does not exist there.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7
_mount = _libc.mount
_mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


TYPE_CHECKING = False
if TYPE_CHECKING:
    MountCall = tuple[bytes | None, bytes, bytes | None, int, bytes | None]
    """Source, target, kind of file system, flags and data."""


def _call(name: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> int:
    number = _NUMBER.get(name)
    if number is None:
        raise OSError(_ENOSYS, f"no system call number of {name} for {MACHINE}")
    result: int = _syscall(number, a, b, c, d, e, 0)
    if result < 0:
        _fail(name)
    return result


def _fail(what: str) -> None:
    errno = ctypes.get_errno()
    raise OSError(errno, os.strerror(errno), what)


def clone(flags: int) -> int:
    """Forks with namespace flags (clone(2)); 0 in the child. Single-threaded callers only.

    The C library does not learn of it: its cached thread ID is stale in the child, so
    the child must not call ``raise`` or ``abort``; ``os.fork`` sets it right again.
    """
    return _call("clone", flags | _SIGCHLD)


def unshare(flags: int) -> None:
    """Moves this process into new namespaces (unshare(2))."""
    if _libc.unshare(flags) < 0:
        _fail("unshare")


def enter_namespace(namespace: int, kind: int) -> None:
    """Moves this process into a namespace, by its descriptor (setns(2))."""
    if _libc.setns(namespace, kind) < 0:
        _fail("setns")


def inotify() -> int:
    """A descriptor of events of the file system (inotify_init1(2))."""
    return _made(_libc.inotify_init1(_INOTIFY_FLAGS), "inotify_init1")


def inotify_names(events: int, directory: str) -> int:
    """Has ``events`` tell of each name that comes or goes in a directory; returns its watch."""
    watch = _libc.inotify_add_watch(events, os.fsencode(directory), _NAMES)
    return _made(watch, "inotify_add_watch")


def inotify_forget(events: int, watch: int) -> None:
    """Ends a watch, unless that has ended with its directory (inotify_rm_watch(2))."""
    _libc.inotify_rm_watch(events, watch)


def _made(result: int, what: str) -> int:
    if result < 0:
        _fail(what)
    return result


def clone_into(cgroup: int, flags: int) -> int:
    """``clone`` of a child that begins in a cgroup v2, by its descriptor (clone3(2), Linux 5.7)."""
    arguments = (ctypes.c_uint64 * 11)()
    arguments[0] = flags | _CLONE_INTO_CGROUP
    arguments[4] = _SIGCHLD
    arguments[10] = cgroup
    return _call("clone3", ctypes.addressof(arguments), ctypes.sizeof(arguments))


def mount_call(
    source: str | None, target: str, kind: str | None, flags: int, data: str = ""
) -> MountCall:
    """The arguments of mount(2), encoded once, to mount, bind or change a mount later."""
    names = [None if name is None else os.fsencode(name) for name in (source, kind, data or None)]
    return (names[0], os.fsencode(target), names[1], flags, names[2])


def perform_mount(call: MountCall) -> None:
    """Mounts, binds or changes a mount (mount(2)), as laid out by ``mount_call``."""
    if _mount(*call) < 0:
        _fail(os.fsdecode(call[1]))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mounts, binds or changes a mount (mount(2))."""
    perform_mount(mount_call(source, target, kind, flags, data))


def try_mount(call: MountCall) -> int:
    """Performs a mount, and returns the number of the error, 0 where there is none."""
    return ctypes.get_errno() if _mount(*call) < 0 else 0


def make_read_only(path: str) -> None:
    """Makes a mount and all below it read-only (mount_setattr(2), Linux 5.12)."""
    _set_mount_attributes(path, _AT_RECURSIVE, set_=_MOUNT_ATTR_RDONLY, clear=0)


def make_writable(path: str) -> None:
    """Makes one mount writable again."""
    _set_mount_attributes(path, 0, set_=0, clear=_MOUNT_ATTR_RDONLY)


def _set_mount_attributes(path: str, flags: int, *, set_: int, clear: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(set_, clear, 0, 0)
    name = ctypes.create_string_buffer(os.fsencode(path))
    _call(
        "mount_setattr",
        _AT_FDCWD,
        ctypes.addressof(name),
        flags,
        ctypes.addressof(attributes),
        ctypes.sizeof(attributes),
    )


def replace_arguments(title: bytes) -> None:
    """Has the machine show ``title`` for the arguments that this process was executed with.

    Where they lie is told to the process itself (proc_pid_stat(5): arg_start, arg_end).
    """
    with open("/proc/self/stat", "rb") as file:
        begin, end = map(int, file.read().rpartition(b")")[2].split()[_ARG_START : _ARG_START + 2])
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, title, min(len(title), end - begin - 1))


def prctl(option: int, value: int) -> int:
    """Changes how the kernel treats this process, by an option of one argument (prctl(2))."""
    result: int = _prctl(option, value, 0, 0, 0)
    if result < 0:
        _fail("prctl")
    return result


def drop_bounding_set() -> None:
    """Empties the capability bounding set: no program executed later gains any.

    The capabilities in force stay (capabilities(7)).
    """
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == _EINVAL and capability > 0:  # past the kernel's last one
                return
            raise


def signal_fd(*signals: int) -> int:
    """A descriptor that becomes readable when one of the (blocked) signals is pending."""
    bits = sum(1 << (number - 1) for number in signals)
    mask = ctypes.c_uint64(bits)
    return _call("signalfd4", -1, ctypes.addressof(mask), ctypes.sizeof(mask), _SFD_FLAGS)


def close_from_on_exec(first: int) -> None:
    """Marks every descriptor from ``first`` on as close-on-exec (close_range(2), Linux 5.11)."""
    _call("close_range", first, 0xFFFF_FFFF, _CLOSE_RANGE_CLOEXEC)


def socket(family: int, kind: int) -> int:
    """A descriptor of a new socket (socket(2))."""
    return _call("socket", family, kind)


class CallFilter:
    """A BPF program that judges system calls (seccomp(2)), laid out once for many uses.

    ``program`` is an array of ``struct sock_filter``. To lay it out in each supervisor
    would touch memory there that costs more than the system call.
    """

    def __init__(self, program: bytes) -> None:
        self._code = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: a u16, padding and a pointer, which on a little-endian machine
        # of 64 bits is two words.
        length = len(program) // _FILTER_INSTRUCTION
        self._whole = (ctypes.c_uint64 * 2)(length, ctypes.addressof(self._code))
        self._address = ctypes.addressof(self._whole)

    def install(self) -> None:
        """Judges all calls of this process and its programs from now on.

        It can never be taken off. It takes no-new-privileges.
        """
        try:
            # Before Linux 5.16 a filter slows its process down against Spectre, as if it
            # ran the code of strangers within itself. A job is a process of its own.
            self._install(_SECCOMP_FILTER_FLAG_SPEC_ALLOW)
        except OSError as error:
            if error.errno != _EINVAL:
                raise
            self._install(0)  # gVisor has no such flag

    def _install(self, flags: int) -> None:
        _call("seccomp", _SECCOMP_SET_MODE_FILTER, flags, self._address)


def project_quota(command: int, place: int, project: int, data: bytes) -> bytes:
    """Gets or sets a project quota on ``place``'s file system (quotactl_fd(2), Linux 5.14).

    Returns ``data`` as the kernel has filled it.
    """
    buffer = ctypes.create_string_buffer(data, len(data))
    which = command << 8 | _PRJQUOTA
    _call("quotactl_fd", place, which, project, ctypes.addressof(buffer))
    return buffer.raw


def landlock_version() -> int:
    """The version of Landlock's interface; raises where there is none (landlock(7))."""
    return _call("landlock_create_ruleset", 0, 0, _LANDLOCK_CREATE_RULESET_VERSION)


def landlock_ruleset(attributes: bytes) -> int:
    """A descriptor of a new set of rules (landlock_create_ruleset(2))."""
    data = ctypes.create_string_buffer(attributes, len(attributes))
    return _call("landlock_create_ruleset", ctypes.addressof(data), len(attributes), 0)


def landlock_add_path(ruleset: int, rule: bytes) -> None:
    """Adds the rights allowed beneath a path (landlock_add_rule(2))."""
    data = ctypes.create_string_buffer(rule, len(rule))
    _call("landlock_add_rule", ruleset, _LANDLOCK_RULE_PATH_BENEATH, ctypes.addressof(data), 0)


def landlock_enter(ruleset: int) -> None:
    """Enters a new domain with these rules (landlock_restrict_self(2))."""
    _call("landlock_restrict_self", ruleset, 0)
