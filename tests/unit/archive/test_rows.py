"""Rows of jobs that an earlier version has written are read as what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobworker.archive.database import Database
from jobworker.archive.sql import SqlArchive
from jobworker.archive.tables import jobs
from jobworker.model import Job, JobId, Limits, Spec, Starting, Terms
from jobworker.testing import FakeClock

ASKED = Spec("/bin/true", ("x",), {"A": "b"}, limits=Limits(pids=8))
GRANTED = Terms(Limits(pids=8, output=4), network=False, run_as="www")


async def as_it_was_written(path: Path, spec: dict[str, Any]) -> Job:
    """A job whose row has no terms and this spec, read again."""
    now = FakeClock().now()
    job = Job(JobId.new(), "alice", ASKED, GRANTED, Starting(), now, "full", "here")
    database = Database.open(path)
    archive = SqlArchive(database)
    await archive.add(job)
    before = update(jobs).values(terms=None, spec=json.dumps(spec))
    await database.write(lambda connection: connection.execute(before))
    found = archive.get(job.id)
    await database.close()
    assert found
    return found


@pytest.mark.parametrize("imposed", [["network", "output", "run_as"], []])
async def test_a_row_without_terms(tmp_path: Path, imposed: list[str]) -> None:
    """Its spec has what was granted, and names the fields that nobody had asked for."""
    written = {
        "program": "/bin/true",
        "args": ["x"],
        "env": {"A": "b"},
        "limits": {"pids": 8, "output": 4},
        "network": False,
        "run_as": "www",
        "imposed": imposed,
    }
    job = await as_it_was_written(tmp_path / "jobd.db", written)
    assert job.terms == GRANTED
    all_asked = Spec("/bin/true", ("x",), {"A": "b"}, limits=Limits(pids=8, output=4))
    assert job.spec.limits == (ASKED.limits if imposed else all_asked.limits)
    assert (job.spec.network, job.spec.run_as) == ((True, None) if imposed else (False, "www"))
    assert (job.spec.program, job.spec.args, job.spec.env) == ("/bin/true", ("x",), {"A": "b"})
