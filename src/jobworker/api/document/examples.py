"""An example of each body, for the document; a test holds each to its type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from jobworker.api.answers import encode
from jobworker.api.bodies import (
    CanStartRequest,
    ExtendRequest,
    RerunBody,
    SignalBody,
    StartRequest,
    StopBody,
)
from jobworker.api.limits import limits_view
from jobworker.api.views import (
    CanStartAnswer,
    ExtendAnswer,
    HealthAnswer,
    IdAnswer,
    JobList,
    MeAnswer,
    OutputAnswer,
    SignalAnswer,
    job_view,
    started_job,
)
from jobworker.model import Cause, Completed, End, Job, JobId, Limits, Role, Spec, Terms, Usage

EXAMPLE_ID = "j-8f14e45f-ceea-4e7a-9c3b-2f0a1d5b6c7d"

_NOON = datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC)
_LIMITS = Limits(memory=512 * 1024 * 1024, timeout=600.0)
_JOB = Job(
    JobId.parse(EXAMPLE_ID),
    "alice",
    Spec("/bin/echo", ("hello",), name="greeting", labels={"team": "web"}, limits=_LIMITS),
    Terms(_LIMITS),
    Completed(
        End(
            Cause.EXITED,
            _NOON + timedelta(seconds=0.02),
            _NOON + timedelta(seconds=0.01),
            exit_code=0,
            usage=Usage(cpu_seconds=0.002, peak_memory=3_145_728, stdout_bytes=6),
        )
    ),
    _NOON,
    "full",
    "worker-1",
)

_ANSWERS: tuple[Struct, ...] = (
    IdAnswer(id=EXAMPLE_ID),
    SignalAnswer(id=EXAMPLE_ID, signal="SIGHUP"),
    ExtendAnswer(id=EXAMPLE_ID, deadline=_NOON + timedelta(minutes=10)),
    CanStartAnswer(
        allowed=True,
        rule="echo",
        reason="rule 'echo' allows /bin/echo",
        run_as=None,
        network=True,
        limits=limits_view(_LIMITS),
    ),
    job_view(_JOB),
    started_job(_JOB, None),
    JobList(jobs=[job_view(_JOB)], next=None),
    OutputAnswer(id=EXAMPLE_ID, stdout=["hello"], stderr=[]),
    MeAnswer(name="alice", role=Role.USER),
    HealthAnswer(),
)

EXAMPLES: dict[type[Struct], dict[str, Any]] = {
    StartRequest: {"program": "/bin/sleep", "args": [5], "timeout": 60},
    CanStartRequest: {"program": "/bin/sleep", "args": [5]},
    ExtendRequest: {"seconds": 600},
    StopBody: {"grace": 10},
    SignalBody: {"signal": "HUP"},
    RerunBody: {},
    **{type(answer): msgspec.json.decode(encode(answer)) for answer in _ANSWERS},
}
"""The examples of bodies that a client sends and gets, as JSON, by the type of the body."""
