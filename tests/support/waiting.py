"""Waiting for what nobody announces."""

from __future__ import annotations

import time
from collections.abc import Callable

_BUDGET = 20.0
"""Seconds: far more than anything takes, on a machine that may be busy."""

_PAUSE = 0.02
"""Seconds between two looks. The condition decides, not the clock."""


def until(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds; fails when it does not come true."""
    deadline = time.monotonic() + _BUDGET
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(_PAUSE)
