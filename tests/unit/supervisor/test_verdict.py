"""What an end counts as."""

from __future__ import annotations

import ctypes

import pytest

from jobworker.model import Cause
from support import native

pytestmark = native.needs_compiler

EXITED_0, EXITED_3, KILLED, SEGV = 0, 3 << 8, 9, 11


@pytest.mark.parametrize(
    ("wait_status", "wanted", "oom_kills", "expected"),
    [
        (EXITED_0, None, 0, Cause.EXITED),
        (EXITED_3, None, 0, Cause.EXITED),
        (SEGV, None, 0, Cause.SIGNALED),
        (KILLED, None, 0, Cause.SIGNALED),
        (KILLED, None, 2, Cause.OOM),
        (EXITED_3, None, 1, Cause.EXITED),
        (SEGV, None, 1, Cause.SIGNALED),
        (KILLED, b"stopped", 0, Cause.STOPPED),
        (EXITED_0, b"stopped", 0, Cause.STOPPED),
        (KILLED, b"stopped", 1, Cause.STOPPED),
        (EXITED_0, b"timeout", 1, Cause.TIMEOUT),
        (KILLED, b"output-limit", 0, Cause.OUTPUT_LIMIT),
    ],
)
def test_causes(wait_status: int, wanted: bytes | None, oom_kills: int, expected: Cause) -> None:
    verdict_of = native.library().verdict_of
    verdict_of.restype = ctypes.c_char_p
    assert verdict_of(wait_status, wanted, oom_kills > 0).decode() == expected
