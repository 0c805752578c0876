"""Jobs as lines: what fits a terminal, what a program reads, what cannot act."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from jobworker.cli import table, terminal
from support.small_server import ID, view

if TYPE_CHECKING:
    from jobworker.client.answers import JobView

NOW = datetime(2026, 1, 31, 12, 3, 5, tzinfo=UTC)
OTHER = ID[:14] + "f" + ID[15:]


def job(**changes: object) -> JobView:
    return cast("JobView", view(**changes))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("room", [30, 40, 60, 80, 120, 300])
def test_a_table_fits_its_terminal(room: int) -> None:
    jobs = [job(args=["x" * 500], name="nightly"), job(args=["中" * 500], id="j-0" + ID[3:])]
    lines = table.render(jobs, NOW, room=room, colour=False)
    assert max(map(terminal.width, lines)) <= max(room, 39)
    if room >= 40:
        assert {terminal.width(line) for line in lines[1:]} <= {room, room - 1}  # wide characters


def test_a_narrow_terminal_keeps_what_matters_most() -> None:
    (title, _) = table.render([job()], NOW, room=45, colour=False)
    assert title.split() == ["ID", "STATUS", "EXIT", "TIME", "PROGRAM"]


def test_a_table_as_wide_as_it_gets() -> None:
    title, line = table.render([job(args=["x" * 500])], NOW, room=0, colour=False)
    assert title.split() == ["ID", "STATUS", "EXIT", "OWNER", "CREATED", "TIME", "PROGRAM"]
    assert line.startswith(f"{ID}  Running  -     alice  3m4s ago  3m4s  /bin/echo xxx")
    assert line.endswith("x" * 500)


def test_names_have_a_column_where_there_is_one() -> None:
    jobs = [job(name="nightly"), job(id=OTHER)]
    title, first, second = table.render(jobs, NOW, room=120, colour=False)
    assert title.split()[4] == "NAME"
    assert (first.split()[4], second.split()[4]) == ("nightly", "-")


def test_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    lines = table.render([job(), job(id=OTHER)], NOW, room=120, colour=False)
    assert [line.split()[0] for line in lines[1:]] == [ID[:15], OTHER[:15]]


def test_only_the_status_is_coloured() -> None:
    _, line = table.render([job(status="Failed", exitCode=3)], NOW, room=120, colour=True)
    assert "  \x1b[31mFailed\x1b[0m  3" in line
    assert line.count("\x1b") == 2


def test_nothing_in_a_cell_acts() -> None:
    bad = job(name="\x1b[2J", owner="a\u202eb", program="/bin/\x9b1m", args=["a\tb\nc\u2028"])
    for line in (*table.render([bad], NOW, room=200, colour=False), *table.fields(bad, NOW)):
        assert line.isprintable()


def test_a_signal_stands_where_there_is_no_exit_code() -> None:
    _, line = table.render([job(status="Stopped", signal="SIGKILL")], NOW, room=99, colour=False)
    assert line.split()[2] == "KILL"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "9s"),
        (59.9, "59s"),
        (60, "1m"),
        (185, "3m5s"),
        (7265, "2h1m"),
        (86_400, "1d"),
        (187_000, "2d3h"),
    ],
)
def test_a_time_as_people_say_it(seconds: float, text: str) -> None:
    assert table.brief(seconds) == text


def test_the_running_time() -> None:
    begun = "2026-01-31T12:00:00Z"
    assert table.running_time(job(startedAt=None), NOW) is None
    assert table.running_time(job(startedAt=begun), NOW) == 185
    ended = job(startedAt=begun, finishedAt="2026-01-31T12:00:01.5Z")
    assert table.running_time(ended, NOW) == 1.5
    slow_clock = NOW - timedelta(hours=1)
    assert table.running_time(job(startedAt=begun), slow_clock) == 0


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab\u2026"),
        ("中文", 4, "中文"),
        ("中文字", 4, "中\u2026"),
        ("e\u0301" * 3, 3, "e\u0301" * 3),
        ("e\u0301" * 4, 3, "e\u0301" * 2 + "\u2026"),
    ],
)
def test_text_is_cut_to_what_fits(text: str, columns: int, shown: str) -> None:
    assert terminal.cut(text, columns) == shown


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_who_gets_colour(
    environment: dict[str, str], *, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_colour(Terminal()) is coloured
    assert not terminal.has_colour(io.StringIO())


def test_progress_writes_over_itself_and_goes_without_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    line = terminal.Progress(stream)
    for text in ("12 of 99", "9 of 99", "9 of 99"):
        line.show(text)
    line.clear()
    line.clear()
    assert stream.getvalue() == "\r12 of 99\r9 of 99 \r       \r"


def test_progress_is_for_terminals_only() -> None:
    stream = io.StringIO()
    terminal.Progress(stream).show("1 of 2")
    assert stream.getvalue() == ""
