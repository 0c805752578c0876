"""How a job's end becomes the exit code of ``run`` and ``wait``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.answers import JobView

TIMED_OUT = 124
SERVICE_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
STOPPED = 137
"""128 + SIGKILL, also where the program ended by itself within its grace."""


def exit_code(job: JobView) -> int:
    """The code that a shell would have seen had it run the program itself."""
    if job["status"] == "Stopped":
        return STOPPED
    if job["signal"]:
        return 128 + _number(job["signal"])
    code = job["exitCode"]
    return SERVICE_FAILED if code is None else code


def _number(name: str) -> int:
    """The number of ``SIGTERM`` or ``SIGRTMIN+3``; KILL's where this machine knows none."""
    import signal

    base, _, offset = name.partition("+")
    known = getattr(signal.Signals, base, signal.Signals.SIGKILL)
    return int(known) + (int(offset) if offset.isdecimal() else 0)
