"""The options that bound a job: what is sent for them, and what is refused."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from jobworker.api import bodies
from jobworker.cli import limits, main, program
from jobworker.model import Level


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


def test_the_levels_are_the_models() -> None:
    assert get_args(Level) == limits.LEVELS
