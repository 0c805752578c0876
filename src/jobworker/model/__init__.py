"""The values that make a job: its spec, its status, and its end.

Everything here is immutable, and a status carries the data that belong to it. Of our own
modules, only ``units`` is imported.
"""

from __future__ import annotations

from jobworker.model.brief import brief
from jobworker.model.job import (
    NOT_JOBD,
    Cause,
    Completed,
    End,
    Fact,
    Failed,
    Final,
    Job,
    JobId,
    Live,
    Queued,
    Running,
    Starting,
    Status,
    StatusName,
    Stopped,
    Stopping,
    Usage,
    explain,
)
from jobworker.model.output import Gap, Output, Piece, Stream
from jobworker.model.query import JobQuery, KeyBinding, Page
from jobworker.model.requests import Role, SignalRequest, StartKey, StopRequest
from jobworker.model.safeguards import NO_SAFEGUARDS, Safeguards
from jobworker.model.spec import (
    LEVELS,
    NO_LIMITS,
    Account,
    Executable,
    Grant,
    Input,
    Level,
    Limits,
    OnOutputLimit,
    Spec,
    Terms,
)
from jobworker.model.times import (
    from_microseconds,
    from_nanoseconds,
    microseconds,
    nanoseconds,
    time_text,
)

__all__ = [
    "LEVELS",
    "NOT_JOBD",
    "NO_LIMITS",
    "NO_SAFEGUARDS",
    "Account",
    "Cause",
    "Completed",
    "End",
    "Executable",
    "Fact",
    "Failed",
    "Final",
    "Gap",
    "Grant",
    "Input",
    "Job",
    "JobId",
    "JobQuery",
    "KeyBinding",
    "Level",
    "Limits",
    "Live",
    "OnOutputLimit",
    "Output",
    "Page",
    "Piece",
    "Queued",
    "Role",
    "Running",
    "Safeguards",
    "SignalRequest",
    "Spec",
    "StartKey",
    "Starting",
    "Status",
    "StatusName",
    "StopRequest",
    "Stopped",
    "Stopping",
    "Stream",
    "Terms",
    "Usage",
    "brief",
    "explain",
    "from_microseconds",
    "from_nanoseconds",
    "microseconds",
    "nanoseconds",
    "time_text",
]
