"""The system calls that no job may make: a filter for seccomp(2), built by hand.

The list names denied calls, not allowed ones: a job may be any program, and is kept in
by its user, its namespaces and its lack of capabilities. The filter denies calls that
would give capabilities back (a user namespace of its own), that lead into another
namespace or out of a limit, and those that ordinary programs have no use for and the
kernel's past flaws were in. A call of a later kernel than this list is not on it.
"""

from __future__ import annotations

import struct

_NO_SUCH_CALL = None

_X86_64, _I386, _AARCH64 = 0xC000_003E, 0x4000_0003, 0xC000_00B7
"""``AUDIT_ARCH_*`` of audit.h: the convention by which the call was made."""

_EPERM = 1
_ENOSYS = 38

_ALLOW = 0x7FFF_0000
_KILL_PROCESS = 0x8000_0000
_REFUSE = 0x0005_0000 | _EPERM
_UNKNOWN = 0x0005_0000 | _ENOSYS

_CLONE_NEWUSER = 0x1000_0000

Numbers = tuple[int | None, int | None, int | None]

DENIED: dict[str, Numbers] = {
    # Into a namespace of somebody else.
    "setns": (308, 346, 268),
    # Change the file system that hides the server's files.
    "mount": (165, 21, 40),
    "umount": (_NO_SUCH_CALL, 22, _NO_SUCH_CALL),
    "umount2": (166, 52, 39),
    "pivot_root": (155, 217, 41),
    "open_tree": (428, 428, 428),
    "move_mount": (429, 429, 429),
    "fsopen": (430, 430, 430),
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fspick": (433, 433, 433),
    "mount_setattr": (442, 442, 442),
    "open_tree_attr": (467, 467, 467),
    # Change the kernel, or the machine's state.
    "init_module": (175, 128, 105),
    "delete_module": (176, 129, 106),
    "finit_module": (313, 350, 273),
    "kexec_load": (246, 283, 104),
    "kexec_file_load": (320, _NO_SUCH_CALL, 294),
    "reboot": (169, 88, 142),
    "swapon": (167, 87, 224),
    "swapoff": (168, 115, 225),
    # Keys belong to a user and to no namespace, and asking for one may start a program
    # outside (request_key(2)).
    "add_key": (248, 286, 217),
    "request_key": (249, 287, 218),
    "keyctl": (250, 288, 219),
    # Programs in the kernel; useless without a capability.
    "bpf": (321, 357, 280),
    # As ioctl with one of ATTRIBUTES.
    "file_setattr": (469, 469, 469),
}
"""Calls that get EPERM; numbers on x86_64, i386 and aarch64, each from its ``unistd.h``."""

WITHOUT_NEWUSER: dict[str, Numbers] = {
    "clone": (56, 120, 220),
    "unshare": (272, 310, 97),
}
"""Calls that get EPERM with CLONE_NEWUSER among their flags, the first argument of both.

Other namespaces need a capability, which only a user namespace would give.
"""

IOCTL: Numbers = (16, 54, 29)
"""The call that gets EPERM where its second argument is one of ATTRIBUTES."""

ATTRIBUTES = (0x401C_5820, 0x4008_6602, 0x4004_6602)
"""``FS_IOC_FSSETXATTR``, ``FS_IOC_SETFLAGS`` and ``FS_IOC32_SETFLAGS`` of fs.h: an owner
could take a file out of its project, and so out of the limit of ``tmp`` (``quota``). The
kernel looks at the lower 32 bits, as we do."""

CLONE3: Numbers = (435, 435, 435)
"""The call that gets ENOSYS: its flags lie in memory, which no filter sees (seccomp(2)).

On ENOSYS the C libraries fall back on clone(2) (glibc's spawni.c and clone-internal.c);
Docker and systemd do the same.
"""

IO_URING: dict[str, Numbers] = {
    "io_uring_setup": (425, 425, 425),
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
}
"""Calls that get ENOSYS unless the operator allows them.

What goes through a ring no filter sees, and many of the kernel's flaws of recent years were
in there. Programs and libraries (libuv, liburing's callers) know kernels without it, and
take ENOSYS to mean such a one; EPERM some of them report and end.
"""

_X32 = 0x4000_0000
"""The bit in the numbers of x86_64's third convention, hardly used and mostly not built
in: its calls do not exist here."""

_SKIPPED = 0xFFFF_FFFF
"""The number of a call that a tracer has cancelled (ptrace(2)): it is never made."""

_LOAD, _JUMP_EQUAL, _JUMP_FROM, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Offsets in ``struct seccomp_data``; of the arguments, the lower half."""


class _Program:
    """Instructions from the last to the first, each at an index that counts from the end.

    Jumps only lead forward (bpf(4)), so the target of one is in place already.
    """

    def __init__(self) -> None:
        self._backwards: list[bytes] = []

    def put(self, code: int, value: int) -> int:
        """Puts an instruction in front of the others; returns its index."""
        return self._put(code, value, 0, 0)

    def jump(self, code: int, value: int, yes: int, no: int) -> int:
        """Puts one in front that goes on at the index ``yes`` or at ``no``."""
        behind = len(self._backwards) - 1
        return self._put(code, value, behind - yes, behind - no)

    def _put(self, *instruction: int) -> int:
        code, value, yes, no = instruction
        self._backwards.append(struct.pack("<HBBI", code, yes, no, value))
        return len(self._backwards) - 1

    def code(self) -> bytes:
        """The array of ``struct sock_filter``."""
        return b"".join(reversed(self._backwards))


def program(machine: str, *, io_uring: bool = False) -> bytes:
    """The filter for a machine by its uname(2) name; raises if its numbers are not known."""
    absent = {"clone3": CLONE3} if io_uring else {"clone3": CLONE3, **IO_URING}
    if machine == "x86_64":
        more = {_X32: _UNKNOWN, _SKIPPED: _ALLOW}
        return _program([(_I386, 1, {}), (_X86_64, 0, more)], absent)
    if machine == "aarch64":
        return _program([(_AARCH64, 2, {})], absent)  # 32-bit programs' calls are not known
    raise OSError(_ENOSYS, f"no filter of system calls for {machine}")


def _program(
    conventions: list[tuple[int, int, dict[int, int]]], absent: dict[str, Numbers]
) -> bytes:
    """One search for each convention; a call by any other kills the process.

    A convention is its ``AUDIT_ARCH``, its column in the tables, and the verdicts that
    apply from a number on besides those. ``absent`` are the calls that get ENOSYS.
    """
    out = _Program()
    other = out.put(_RETURN, _KILL_PROCESS)
    for architecture, column, more in conventions:
        search = _put_search(out, column, more, absent)
        other = out.jump(_JUMP_EQUAL, architecture, search, other)
    out.put(_LOAD, _ARCHITECTURE)
    return out.code()


def _put_search(
    out: _Program, column: int, more: dict[int, int], absent: dict[str, Numbers]
) -> int:
    allow, refuse, unknown = (out.put(_RETURN, value) for value in (_ALLOW, _REFUSE, _UNKNOWN))
    out.jump(_JUMP_SET, _CLONE_NEWUSER, refuse, allow)
    flags = out.put(_LOAD, _FIRST_ARGUMENT)
    other = allow
    for request in ATTRIBUTES:
        other = out.jump(_JUMP_EQUAL, request, refuse, other)
    request = out.put(_LOAD, _SECOND_ARGUMENT)
    targets = {
        **{numbers[column]: refuse for numbers in DENIED.values()},
        **{numbers[column]: flags for numbers in WITHOUT_NEWUSER.values()},
        IOCTL[column]: request,
        **{numbers[column]: unknown for numbers in absent.values()},
    }
    starts = {0: allow, **{n + 1: allow for n in targets if n is not None}}
    starts |= {n: target for n, target in targets.items() if n is not None}
    starts |= {n: {_ALLOW: allow, _UNKNOWN: unknown}[value] for n, value in more.items()}
    _put_tree(out, _merged(sorted(starts.items())))
    return out.put(_LOAD, _NUMBER)


def _merged(starts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The starts without those that go on as before."""
    return [
        (number, target)
        for (number, target), (_, before) in zip(starts, [(0, -1), *starts], strict=False)
        if target != before
    ]


def _put_tree(out: _Program, starts: list[tuple[int, int]]) -> int:
    """Puts a search tree, as the kernel walks the filter for every number at its installation."""
    if len(starts) == 1:
        return starts[0][1]
    middle = len(starts) // 2
    below = _put_tree(out, starts[:middle])
    above = _put_tree(out, starts[middle:])
    return out.jump(_JUMP_FROM, starts[middle][0], above, below)
