"""Which part this process has where pytest-xdist runs the tests in several (``-n``)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import pytest


class Node(Protocol):
    """A worker, to its controller."""

    config: pytest.Config
    workerinput: dict[str, str]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one, which tells what became of them."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process runs no test itself, but has workers."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"


def worker_input(config: pytest.Config) -> dict[str, str]:
    """What its controller has told this worker (``Node.workerinput``)."""
    told: dict[str, str] = config.workerinput  # type: ignore[attr-defined]  # set by xdist
    return told


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Make of a report what a worker can send: what a test has logged may be no UTF-8."""
    report = yield
    return _as_utf8(report)


def _as_utf8(value: object) -> object:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(map(_as_utf8, value))
        case _:
            return value
