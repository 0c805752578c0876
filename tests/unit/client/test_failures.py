"""Error answers become the classes of ``errors.py`` again."""

from __future__ import annotations

import pytest

from jobworker import errors
from jobworker.client import failures

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.JobWorkerError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_survives_the_wire(kind: type[errors.JobWorkerError]) -> None:
    sent = kind("no such thing", hint="look elsewhere", field="args")
    received = failures.from_answer(dict(failures.to_answer(sent)))
    assert type(received) is kind
    assert (str(received), received.hint, received.field) == (
        "no such thing",
        "look elsewhere",
        "args",
    )


@pytest.mark.parametrize(
    ("header", "seconds"), [("5", 5.0), (None, None), ("soon", None), ("-1", None)]
)
def test_when_to_ask_again(header: str | None, seconds: float | None) -> None:
    sent = errors.TooManyJobs("too many")
    received = failures.from_answer(dict(failures.to_answer(sent)), header)
    assert received.retry_after == seconds


def test_an_unknown_code_keeps_its_name() -> None:
    answer = {"error": "Error: too many cooks", "code": "too_many_cooks"}
    received = failures.from_answer(answer)
    assert type(received) is errors.JobWorkerError
    assert failures.to_answer(received) == answer
    assert errors.JobWorkerError.code == "internal_error"
