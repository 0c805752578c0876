"""Small readings: durations, moments, exit codes, text that is safe to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from jobworker.cli import endings, report, times
from jobworker.cli.invocation import UsageError

if TYPE_CHECKING:
    from jobworker.client.answers import JobView


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        (".5", 0.5),
        ("10s", 10),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d1h1m1s", 90_061),
        ("0.5h", 1800),
    ],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert times.duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1", "1x", "1m1h", "1s1s", "1m30", "1e3", "nan", "inf", "1.", " 1", "1_0", "٣"],
)
def test_not_a_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        times.duration(text)


def test_a_moment_in_utc() -> None:
    assert times.moment("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"
    assert times.moment("2026-01-31T12:00:00+02:00") == "2026-01-31T10:00:00Z"


def test_a_moment_without_a_zone_is_in_this_machines() -> None:
    local = datetime(2026, 1, 31).astimezone().astimezone(UTC)
    assert datetime.fromisoformat(times.moment("2026-01-31")) == local


def test_a_duration_is_that_long_ago() -> None:
    before = datetime.now(UTC) - timedelta(minutes=10)
    at = datetime.fromisoformat(times.moment("10m"))
    assert before <= at <= datetime.now(UTC) - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("status", "code", "signal", "exits"),
    [
        ("Completed", 0, None, 0),
        ("Failed", 3, None, 3),
        ("Failed", None, "SIGSEGV", 139),
        ("Failed", None, "SIGKILL", 137),
        ("Failed", None, "SIGRTMIN+3", 165),
        ("Failed", None, "SIGNOBODYKNOWS", 137),
        ("Stopped", None, "SIGKILL", 137),
        ("Stopped", None, "SIGTERM", 137),
        ("Stopped", 0, None, 137),
        ("Failed", None, None, 125),
    ],
)
def test_the_exit_code_of_a_job(
    status: str, code: int | None, signal: str | None, exits: int
) -> None:
    job = cast("JobView", {"status": status, "exitCode": code, "signal": signal})
    assert endings.exit_code(job) == exits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("ä ✓", "ä ✓"),
        ("a\tb", "a\tb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x00\x7f\x9b", "a\\rb\\x00\\x7f\\x9b"),
        ("\u202eflipped", "\\u202eflipped"),
    ],
)
def test_no_control_character_acts(text: str, shown: str) -> None:
    assert report.escaped(text) == shown
