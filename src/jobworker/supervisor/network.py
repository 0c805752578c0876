"""No network: a job's own network namespace, with nothing in it but its loopback."""

from __future__ import annotations

import fcntl
import os
import struct

from . import kernel

NONE = b"none"
"""The order's value for a job without network."""

_AF_INET = 2
_SOCK_DGRAM = 2
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_REQUEST = "16sh22x"
"""``struct ifreq``: the name of an interface and, here, its flags (netdevice(7))."""


def bring_up_loopback() -> None:
    """Makes 127.0.0.1 and ::1 work in a new network namespace, whose loopback is down."""
    fd = kernel.socket(_AF_INET, _SOCK_DGRAM)
    try:
        fcntl.ioctl(fd, _SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", _IFF_UP))
    finally:
        os.close(fd)
