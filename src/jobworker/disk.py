"""The failures of a disk, told from all others: it is full, or it is broken."""

from __future__ import annotations

import errno

from jobworker.errors import JobWorkerError, StorageFull, StorageUnavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

BROKEN = frozenset(
    {
        errno.EIO,
        errno.EROFS,  # ext4 after an error, by its default
        errno.ESTALE,  # NFS, whose server has lost the file
        errno.ENODEV,
        errno.ENXIO,
        errno.EREMOTEIO,
        errno.EUCLEAN,  # "structure needs cleaning": XFS and ext4 found themselves damaged
        errno.EBADMSG,  # the same, of a checksum
        errno.ESHUTDOWN,
        errno.ENOTCONN,  # FUSE, whose server is gone
        errno.ETIMEDOUT,
    }
)


def is_to_blame(error: OSError) -> bool:
    """Whether the disk is full or broken."""
    return error.errno in FULL | BROKEN


def failure(error: OSError, what: str) -> JobWorkerError | None:
    """The error of our own taxonomy where the disk is to blame, else None.

    ``what`` could not be done, as in "make the job's directory".
    """
    if error.errno in FULL:
        return StorageFull(f"cannot {what}: no space left", hint="remove jobs that have ended")
    if error.errno in BROKEN:
        return StorageUnavailable(
            f"cannot {what}: the server's disk is broken: {error.strerror}",
            hint="the operator has to look at the disk under jobd's state; "
            "running jobs go on, and can be stopped",
        )
    return None
