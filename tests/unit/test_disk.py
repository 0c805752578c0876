"""Failures of the disk are told from all others."""

from __future__ import annotations

import errno
import os

import pytest

from jobworker import disk
from jobworker.errors import JobWorkerError, StorageFull, StorageUnavailable


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, StorageUnavailable),
        (errno.EROFS, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
        (errno.EUCLEAN, StorageUnavailable),
        (errno.ENOENT, None),
        (errno.EMFILE, None),
    ],
)
def test_a_failure_of_the_disk_in_our_own_terms(
    number: int, kind: type[JobWorkerError] | None
) -> None:
    error = OSError(number, os.strerror(number))
    found = disk.failure(error, "do it")
    assert type(found) is (kind or type(None))
    assert disk.is_to_blame(error) is (kind is not None)
    assert found is None or str(found).startswith("cannot do it: ")
