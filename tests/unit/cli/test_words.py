"""Small readings: moments, exit codes, text that is safe to show."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from jobworker.cli import columns, endings, report, times
from jobworker.cli.verbs import complete, why
from jobworker.cli.verbs import list as lists

if TYPE_CHECKING:
    from jobworker.client.answers import JobView


def test_completion_knows_the_columns_of_a_list() -> None:
    """It names them by itself, as it loads nothing of lists."""
    assert complete.WORDS["COLUMN"] == tuple(columns.COLUMNS)
    for name in columns.COLUMNS:
        assert re.search(rf"\b{name}\b", lists.DETAILS)


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
    ("cause", "code", "signal", "exits"),
    [
        ("exited", 0, None, 0),
        ("exited", 3, None, 3),
        ("signaled", None, "SIGSEGV", 139),
        ("signaled", None, "SIGKILL", 137),
        ("signaled", None, "SIGRTMIN+3", 165),
        ("signaled", None, "SIGNOBODYKNOWS", 137),
        ("stopped", None, "SIGKILL", 137),
        ("stopped", None, "SIGTERM", 137),
        ("stopped", 0, None, 137),
        ("timeout", None, "SIGKILL", 124),
        ("timeout", 0, None, 124),
        ("oom", None, "SIGKILL", 137),
        ("oom", 1, None, 137),
        ("output-limit", None, "SIGKILL", 137),
        ("lost", None, None, 125),
        ("start-failed", None, None, 125),
        (None, None, None, 125),
    ],
)
def test_the_exit_code_of_a_job(
    cause: str | None, code: int | None, signal: str | None, exits: int
) -> None:
    job = {"cause": cause, "exitCode": code, "signal": signal, "evidence": None}
    assert endings.exit_code(cast("JobView", job)) == exits


@pytest.mark.parametrize(
    ("code", "exits"),
    [
        ("program_not_found", 127),
        ("program_not_executable", 126),
        ("start_failed", 125),
        ("limit_unavailable", 125),
    ],
)
def test_the_exit_code_of_a_queued_job_that_could_not_be_started(code: str, exits: int) -> None:
    job = {"cause": "start-failed", "exitCode": None, "signal": None, "evidence": {"code": code}}
    assert endings.exit_code(cast("JobView", job)) == exits


@pytest.mark.parametrize(
    ("name", "fact", "text"),
    [
        ("memoryLimit", 67_108_864, "64 MiB (67108864)"),
        ("memoryPeak", 67_108_864, "64 MiB (67108864)"),
        ("oomKills", 1, "1"),
        ("outputLimit", 2**30, "1 GiB (1073741824)"),
        ("stdoutBytes", 10, "10 bytes (10)"),
        ("pidsLimit", 64, "64"),
        ("timeout", 600.0, "10m (600)"),
        ("timeout", 1.5, "1.5s (1.5)"),
        ("grace", 0, "0s (0)"),
        ("cpuSeconds", 61.25, "61.25s (61.25)"),
        ("deadline", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
        ("share", 0.25, "0.25"),
    ],
)
def test_a_piece_of_evidence(name: str, fact: str | float, text: str) -> None:
    assert why.fact_text(name, fact) == text


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
