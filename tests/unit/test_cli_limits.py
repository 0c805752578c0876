"""The options that bound a job: what is sent, and that their bounds are the server's."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from jobworker.api import bodies
from jobworker.cli import limits, main, program
from jobworker.cli.limits import Bound
from jobworker.model import Level

EVERY = [
    *[
        pytest.param(bound, bodies.LimitsRequest, bound.field, id=bound.field)
        for bound in limits.LIMITS
    ],
    *[
        pytest.param(bound, bodies.StartRequest, bound.field, id=bound.field)
        for bound in limits.TIMES
    ],
    pytest.param(limits.EXTENSION, bodies.ExtendRequest, "seconds", id="extension"),
]


def order(*options: str) -> dict[str, Any]:
    _, call = main.understand(["start", *options, "--", "/bin/true"])
    return program.Order(call).options


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("", {}),
        ("--memory 512M", {"limits": {"memory": 2**29}}),
        ("--cpus 1.5 --pids 64", {"limits": {"cpus": 1.5, "pids": 64}}),
        ("--open-files 256", {"limits": {"openFiles": 256}}),
        ("--output 1G --tmp 2G", {"limits": {"output": 2**30, "tmp": 2**31}}),
        ("--nice 10", {"limits": {"nice": 10}}),
        ("--timeout 10m --grace 10s", {"timeout": 600.0, "grace": 10.0}),
        ("--grace 0 --nice 0", {"grace": 0.0, "limits": {"nice": 0}}),
        ("--no-network --run-as reports", {"network": False, "runAs": "reports"}),
        ("--containment full --name n", {"name": "n", "containment": "full"}),
        ("--memory 1M --memory 2M", {"limits": {"memory": 2**21}}),
    ],
)
def test_what_is_sent(words: str, sent: dict[str, Any]) -> None:
    options = order(*words.split())
    assert options == sent
    msgspec.convert({"program": "/bin/true", **options}, bodies.StartRequest)


@pytest.mark.parametrize(("bound", "request_type", "field"), EVERY)
def test_the_range_is_the_servers(bound: Bound, request_type: type, field: str) -> None:
    """The least and the most are accepted, and what is beyond them is not."""
    extra = {"program": "/bin/true"} if request_type is bodies.StartRequest else {}

    def accepted(value: float) -> bool:
        try:
            msgspec.convert({field: value, **extra}, request_type)
        except msgspec.ValidationError:
            return False
        return True

    assert accepted(bound.least)
    assert accepted(bound.most)
    assert not accepted(bound.most + 1)
    assert not accepted(0.009 if bound.option == "cpus" else bound.least - 1)


def test_every_limit_of_the_schema_has_an_option() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(bodies.LimitsRequest)}
    assert {bound.field for bound in limits.LIMITS} == fields


def test_the_levels_are_the_models() -> None:
    assert get_args(Level) == limits.LEVELS
