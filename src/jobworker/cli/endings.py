"""The exit codes of ``run`` and ``wait``, by the ends of jobs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.client.answers import JobView

TIMED_OUT = 124
SERVICE_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 137
"""128 + SIGKILL: a job stopped, or over a limit, even if it ended by itself within its grace."""

EXITS = (
    ("N", "the job's own exit code"),
    ("128+N", "signal N killed it"),
    ("137", "it was stopped, out of memory, or wrote too much"),
    ("124", "its time was over, or that of the waiting"),
    ("125", "the service failed, or cannot be reached, or refused"),
    ("126", "the program cannot be executed"),
    ("127", "the program was not found"),
    ("2", "wrong use; nothing was sent"),
)
"""The exit codes of ``run`` and ``wait``, for help."""

_OF_CAUSE = {
    "stopped": KILLED,
    "oom": KILLED,
    "output-limit": KILLED,
    "timeout": TIMED_OUT,
    "lost": SERVICE_FAILED,
}

_OF_REFUSAL = {"program_not_found": NOT_FOUND, "program_not_executable": NOT_EXECUTABLE}
"""The exit codes of programs that were not run, by the error's code in ``errors.py``."""


def exit_code(job: JobView) -> int:
    """The code that a shell would have seen had it run the program itself."""
    if job["cause"] == "start-failed":
        return of_refusal((job["evidence"] or {}).get("code"))
    return code_of(job["cause"], job["signal"], job["exitCode"])


def code_of(cause: str | None, signal: str | None, exit_code: int | None) -> int:
    """The exit code for an end whose evidence is not at hand; 125 for a start that failed."""
    if cause in _OF_CAUSE:
        return _OF_CAUSE[cause]
    if signal:
        return 128 + _number(signal)
    return SERVICE_FAILED if exit_code is None else exit_code


def of_refusal(code: object) -> int:
    """The code for a program that was not run, by the stable code of the error."""
    return _OF_REFUSAL.get(str(code), SERVICE_FAILED)


def _number(name: str) -> int:
    """The number of ``SIGTERM`` or ``SIGRTMIN+3``; KILL's where this machine knows none."""
    import signal

    base, _, offset = name.partition("+")
    known = getattr(signal.Signals, base, signal.Signals.SIGKILL)
    return int(known) + (int(offset) if offset.isdecimal() else 0)
