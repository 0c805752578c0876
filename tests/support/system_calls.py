"""The system calls that no job may make, with their numbers: what seccomp.c is held to."""

from __future__ import annotations

Numbers = tuple[int | None, int | None, int | None]

DENIED: dict[str, Numbers] = {
    # Into a namespace of somebody else.
    "setns": (308, 346, 268),
    # Change the file system that hides the server's files.
    "mount": (165, 21, 40),
    "umount": (None, 22, None),
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
    "kexec_file_load": (320, None, 294),
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
