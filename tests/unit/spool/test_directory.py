"""The directories of live jobs: what a start that fails leaves, and what it must not touch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobworker.model import JobId
from jobworker.spool.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path)) as opened:
        yield opened


def test_a_directory_that_is_there_is_another_jobs(spool: Spool) -> None:
    job = JobId.new()
    spool.create(job, [("arg", b"/bin/true")])
    with pytest.raises(FileExistsError):
        spool.create(job, [("arg", b"/bin/false")])
    assert spool.jobs() == [job]


def test_a_directory_that_cannot_be_filled_is_removed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("jobworker.supervisor.records.begin", fail)
    with pytest.raises(OSError, match="Input/output"):
        spool.create(JobId.new(), [])
    assert spool.jobs() == []
