"""The reason why a program was not executed: from the supervisor's report to the error. Pure."""

from __future__ import annotations

import errno
import os

from jobworker import disk
from jobworker.errors import (
    InvalidRequest,
    JobWorkerError,
    ProgramForbidden,
    ProgramNotExecutable,
    ProgramNotFound,
    ServiceUnavailable,
    StartFailed,
    StorageFull,
    TooManyJobs,
)
from jobworker.model import Spec, Terms
from jobworker.supervisor.names import MEMORY_STAGE
from jobworker.units import size_text

_REASONS = {
    "directory": "it is a directory",
    "interpreter": "the interpreter that it names in its first line was not found",
    "carriage-return": (
        "its first line ends with a carriage return (\\r), as in files from Windows, "
        "which is then part of the interpreter's name"
    ),
    "loader": (
        "the loader that it names was not found: it was built for another kind of system, "
        "such as a 32-bit one or one with another C library, whose libraries are not installed"
    ),
    "denied": "permission denied",
}
"""The reasons by the kind of failure."""

_FORMAT = "it is neither a program for this machine nor a script with a first line like #!/bin/sh"


_SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""The errors of a machine that is short of something, which is no fault of the program's."""


def cannot(what: str, error: OSError) -> JobWorkerError:
    """The error where the server itself could not do ``what``: the disk's, or a passing one."""
    return disk.failure(error, what) or ServiceUnavailable(f"cannot {what}: {error}")


def refusal(
    spec: Spec, terms: Terms, stage: str, number: int, kind: str, hint: str | None
) -> JobWorkerError:
    """The error for a refusal at ``stage`` with the errno ``number``.

    ``kind`` tells apart what the errno of exec leaves open (``launch.NotExecuted``);
    ``hint`` is what the job could not see, where that is known.
    """
    why = os.strerror(number)
    if stage in ("cwd", MEMORY_STAGE, "changed"):
        return _asked_wrong(spec, terms, stage, why, hint)
    # clone says ENOSPC where a limit of namespaces is reached (clone(2)).
    if number in disk.FULL and not stage.startswith("clone"):
        return StorageFull()
    if kind == "processes":
        return TooManyJobs(
            "the job could not be started: its user has as many processes as one user's jobs may",
            hint="end some of them (jobctl stop), and try again",
        )
    if number in _SCARCE:
        return ServiceUnavailable(
            f"the job could not be started: {stage}: {why}",
            hint="the machine is short of processes, memory or open files; try again",
        )
    if stage != "exec":
        return StartFailed(f"the job could not be started: {stage}: {why}")
    return _of_exec(number, kind, hint)


def _of_exec(number: int, kind: str, hint: str | None) -> JobWorkerError:
    if kind == "missing":
        return ProgramNotFound(hint=hint)
    if number == errno.E2BIG:
        return InvalidRequest("arguments and environment are too long for exec", field="args")
    why = _FORMAT if number == errno.ENOEXEC else os.strerror(number)
    reason = _REASONS.get(kind, why[:1].lower() + why[1:])
    return ProgramNotExecutable(f"program cannot be executed: {reason}", hint=hint)


def _asked_wrong(
    spec: Spec, terms: Terms, stage: str, why: str, hint: str | None
) -> JobWorkerError:
    if stage == "changed":
        message = "the program's file was changed between its check and its start"
        return ProgramForbidden(message, hint="try again, and it is checked anew")
    if stage == "cwd" and spec.cwd is None:
        message = f"cannot enter the working directory that the policy gives: {why}"
        return ProgramForbidden(message, hint="see that the account of the job may enter it")
    if stage == "cwd":
        message = f"cannot enter the working directory {spec.cwd}: {why}"
        return InvalidRequest(message, field="cwd", hint=hint)
    size = size_text(terms.limits.memory or 0)
    message = f"the memory limit of {size} is too small to start the program"
    return InvalidRequest(message, field="limits.memory")
