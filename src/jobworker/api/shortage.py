"""The failures of a machine or a process that is short of something for now."""

from __future__ import annotations

import errno

_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})


def is_shortage(error: Exception) -> bool:
    """Whether ``error`` says that descriptors, memory or threads have run out.

    Such a request may be sent again; it is neither the client's fault nor a bug.
    """
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    if isinstance(error, RuntimeError):  # of threading, which has no class for it
        return "can't start new thread" in str(error)
    return isinstance(error, MemoryError)
