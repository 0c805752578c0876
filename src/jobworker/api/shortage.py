"""The failures of a machine or a process that is short of something, or whose disk fails."""

from __future__ import annotations

import errno

from jobworker import disk
from jobworker.errors import JobWorkerError, ServiceUnavailable

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


def blame(error: Exception) -> JobWorkerError | None:
    """The error to answer with where the machine is to blame for ``error``; None for a bug."""
    if is_shortage(error):
        return ServiceUnavailable(
            "the server is out of descriptors, memory or threads for now",
            hint="send it again in a moment",
        )
    if isinstance(error, OSError):
        return disk.failure(error, "answer the request")
    return None
