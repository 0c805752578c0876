"""System calls that Python lacks, for tests that change the kernel's treatment of a process."""

from __future__ import annotations

import ctypes
import os

NO_NEW_PRIVS = 38
"""``PR_SET_NO_NEW_PRIVS``."""

MACHINE = os.uname().machine
SECCOMP = {"x86_64": 317, "aarch64": 277}
NUMBERS = {
    "clone3": 435,
    "close_range": 436,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "landlock_create_ruleset": 444,
    "seccomp": SECCOMP.get(MACHINE, -1),
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(number: int, *arguments: object) -> int:
    """Makes a system call; raises ``OSError``."""
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result


def forbid_privileges() -> None:
    """Gives up all that exec could give."""
    _libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)


def install_filter(code: bytes) -> None:
    """Has an array of ``struct sock_filter`` judge the calls of this process."""
    kept = ctypes.create_string_buffer(code, len(code))
    program = (ctypes.c_uint64 * 2)(len(code) // 8, ctypes.addressof(kept))
    call(NUMBERS["seccomp"], 1, 0, program)
