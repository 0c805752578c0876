"""What an end counts as."""

from __future__ import annotations

import pytest

from jobworker.model import Cause
from jobworker.supervisor.verdict import cause

EXITED_0, EXITED_3, KILLED, SEGV = 0, 3 << 8, 9, 11


@pytest.mark.parametrize(
    ("wait_status", "given", "expected"),
    [
        (EXITED_0, {}, Cause.EXITED),
        (EXITED_3, {}, Cause.EXITED),
        (SEGV, {}, Cause.SIGNALED),
        (KILLED, {}, Cause.SIGNALED),
        (KILLED, {"oom_kills": 2}, Cause.OOM),
        (EXITED_3, {"oom_kills": 1}, Cause.EXITED),
        (SEGV, {"oom_kills": 1}, Cause.SIGNALED),
        (KILLED, {"stopped": True}, Cause.STOPPED),
        (EXITED_0, {"stopped": True}, Cause.STOPPED),
        (KILLED, {"stopped": True, "oom_kills": 1}, Cause.STOPPED),
        (KILLED, {"timed_out": True}, Cause.TIMEOUT),
        (EXITED_0, {"timed_out": True, "oom_kills": 1}, Cause.TIMEOUT),
        (KILLED, {"over_output": True}, Cause.OUTPUT_LIMIT),
        (KILLED, {"over_output": True, "oom_kills": 1}, Cause.OOM),
    ],
)
def test_causes(wait_status: int, given: dict[str, int], expected: Cause) -> None:
    known = {"stopped": False, "timed_out": False, "oom_kills": 0, "over_output": False} | given
    assert cause(wait_status, **known).decode() == expected  # type: ignore[arg-type]
