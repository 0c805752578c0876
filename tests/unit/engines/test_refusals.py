from __future__ import annotations

import errno

import pytest

from jobworker.engines.local.refusals import refusal
from jobworker.errors import (
    InvalidRequest,
    ProgramForbidden,
    ProgramNotExecutable,
    ProgramNotFound,
    ServiceUnavailable,
    StartFailed,
    StorageFull,
    TooManyJobs,
)
from jobworker.model import Spec, Terms


@pytest.mark.parametrize(
    ("stage", "number", "kind", "error", "words"),
    [
        ("exec", errno.ENOENT, "missing", ProgramNotFound, "program not found"),
        ("exec", errno.EACCES, "directory", ProgramNotExecutable, "it is a directory"),
        ("exec", errno.ENOENT, "interpreter", ProgramNotExecutable, "interpreter"),
        ("exec", errno.EACCES, "denied", ProgramNotExecutable, "permission denied"),
        ("exec", errno.ENOEXEC, "other", ProgramNotExecutable, "for this machine"),
        ("exec", errno.ENOENT, "loader", ProgramNotExecutable, "loader"),
        ("exec", errno.ENOENT, "carriage-return", ProgramNotExecutable, r"(\r)"),
        ("exec", errno.E2BIG, "other", InvalidRequest, "too long"),
        ("cwd", errno.ENOENT, "other", InvalidRequest, "cannot enter the working directory /x"),
        ("credentials", errno.EPERM, "other", StartFailed, "credentials: Operation not permitted"),
        ("changed", errno.ESTALE, "other", ProgramForbidden, "between its check and its start"),
        ("setup (x)", errno.ENOSPC, "other", StorageFull, "no space left"),
        ("exec", errno.EAGAIN, "processes", TooManyJobs, "as many processes as one user's"),
        ("thread", errno.EAGAIN, "processes", TooManyJobs, "as many processes as one user's"),
        ("exec", errno.EAGAIN, "other", ServiceUnavailable, "temporarily unavailable"),
        ("setup (x)", errno.EMFILE, "other", ServiceUnavailable, "Too many open files"),
        ("clone (x)", errno.ENOMEM, "other", ServiceUnavailable, "allocate memory"),
        ("clone (x)", errno.ENOSPC, "other", StartFailed, "could not be started: clone"),
    ],
)
def test_a_refusal_in_our_own_terms(
    stage: str, number: int, kind: str, error: type[Exception], words: str
) -> None:
    refused = refusal(Spec("/bin/x", cwd="/x"), Terms(), stage, number, kind, "look there")
    assert type(refused) is error
    assert words in str(refused)


def test_a_directory_of_the_policys_that_cannot_be_entered_is_not_the_users_fault() -> None:
    refused = refusal(Spec("/bin/x"), Terms(), "cwd", errno.EACCES, "other", None)
    assert type(refused) is ProgramForbidden
    assert "cannot enter the working directory that the policy gives" in str(refused)
