"""Rows of jobs that an earlier version has written are read as what they meant."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobworker.archive.database import Database
from jobworker.archive.rows import accepted, ending
from jobworker.archive.sql import SqlArchive
from jobworker.archive.tables import jobs
from jobworker.model import Cause, Completed, End, Job, JobId, Limits, Spec, Starting, Terms, Usage
from jobworker.testing import FakeClock, MemoryOutput

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


def plain_job() -> Job:
    now = FakeClock().now()
    end = End(Cause.EXITED, now, exit_code=0, usage=Usage(peak_memory=4096))
    spec = Spec("/bin/true", limits=Limits(pids=8))
    return Job(JobId.new(), "alice", spec, Terms(), Completed(end), now, "full", "here")


def test_a_row_has_nothing_that_is_so_anyway() -> None:
    job = plain_job()
    assert job.end
    row = {**accepted(job), **ending(job)}
    assert json.loads(row["spec"]) == {"program": "/bin/true", "limits": {"pids": 8}}
    assert json.loads(row["terms"]) == {}
    end = json.loads(row["end"])
    assert end.keys() == {"cause", "finished_at", "exit_code", "usage"}
    assert end["usage"] == {"peak_memory": 4096}


async def test_a_row_with_all_defaults_written_out_is_read_as_one_without(tmp_path: Path) -> None:
    """As versions before wrote them; so no default may ever become another."""
    job = plain_job()
    written = {
        "spec": {
            "program": "/bin/true",
            "args": [],
            "env": {},
            "cwd": None,
            "name": None,
            "labels": {},
            "limits": {**dict.fromkeys(field.name for field in fields(Limits)), "pids": 8},
            "grace": 0.0,
            "network": True,
            "run_as": None,
            "containment": None,
            "input": None,
        },
        "terms": {
            "limits": dict.fromkeys(field.name for field in fields(Limits)),
            "network": True,
            "run_as": None,
        },
        "end": {
            "cause": "exited",
            "finished_at": job.created_at.isoformat(),
            "started_at": None,
            "exit_code": 0,
            "signal": None,
            "stopped_by": None,
            "detail": None,
            "usage": {
                "cpu_seconds": 0.0,
                "peak_memory": 4096,
                "stdout_bytes": 0,
                "stderr_bytes": 0,
                "dropped_bytes": 0,
            },
            "evidence": {},
            "gaps": [],
        },
    }
    database = Database.open(tmp_path / "jobd.db")
    archive = SqlArchive(database)
    await archive.add(job)
    await archive.finish(job, MemoryOutput())
    assert archive.get(job.id) == job
    before = update(jobs).values({name: json.dumps(value) for name, value in written.items()})
    await database.write(lambda connection: connection.execute(before))
    assert archive.get(job.id) == job
    await database.close()
