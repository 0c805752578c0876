import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from jobworker.daemon import log
from jobworker.identity.tokens import mint


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the configured logging writes; the process's own logging comes back after."""
    stream = io.StringIO()
    root, ours = logging.getLogger(), logging.getLogger("jobworker")
    before = (root.handlers[:], root.level, ours.level)
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure()
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[:2]
    ours.setLevel(before[2])


def test_a_record_is_one_json_object(lines: io.StringIO) -> None:
    logging.getLogger("jobworker.x").info("job %s ended", "j-1", extra={"code": 3})
    entry = json.loads(lines.getvalue())
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "logger": "jobworker.x",
        "message": "job j-1 ended",
        "code": 3,
    }


@pytest.mark.parametrize("evil", ["a\nb", "\x1b[31mred", "\u2028", "\x9b", "\udc80", "\0", "é"])
def test_what_a_user_sends_cannot_forge_a_line(lines: io.StringIO, evil: str) -> None:
    """T44: one line, of ASCII, from which the text comes back as it was."""
    logging.getLogger("jobworker.x").warning("start %s", evil, extra={"program": evil})
    text = lines.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["program"] == evil


def test_a_trace_is_a_field_of_the_same_line(lines: io.StringIO) -> None:
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("jobworker.x").exception("cannot go on")
    assert lines.getvalue().count("\n") == 1
    assert "RuntimeError: boom" in json.loads(lines.getvalue())["trace"]


def test_no_token_gets_into_the_log(lines: io.StringIO) -> None:
    token = mint()[0].reveal()
    logger = logging.getLogger("jobworker.x")
    logger.info("Bearer %s", token, extra={"header": f"Bearer {token}"})
    try:
        raise ValueError(token)
    except ValueError:
        logger.exception(token)
    assert token[16:40] not in lines.getvalue()
    assert token[:15] in lines.getvalue()


def test_what_cannot_be_json_is_shown_as_python_shows_it(lines: io.StringIO) -> None:
    logging.getLogger("jobworker.x").info("x", extra={"names": {1}, "raw": b"\xff"})
    assert json.loads(lines.getvalue())["raw"] == "b'\\xff'"


def test_libraries_are_heard_when_something_is_wrong(lines: io.StringIO) -> None:
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    assert [json.loads(line)["message"] for line in lines.getvalue().splitlines()] == ["trouble"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The same, where it is written to a terminal."""
    stream = Terminal()
    root, ours = logging.getLogger(), logging.getLogger("jobworker")
    before = (root.handlers[:], root.level, ours.level)
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure()
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[:2]
    ours.setLevel(before[2])


def test_on_a_terminal_a_record_is_a_plain_line(terminal: Terminal) -> None:
    extra = {"code": 3, "reason": "killed by x", "signal": None, "program": "/bin/x"}
    logging.getLogger("jobworker.x").info("job %s ended", "j-1", extra=extra)
    time, line = terminal.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert line == 'info    job j-1 ended code=3 reason="killed by x" program=/bin/x\n'


@pytest.mark.parametrize(
    "evil", ["a\nb", "\x1b[31mred", "\u2028", "\x9b", "\udc80", "\0", 'a" b="']
)
def test_what_a_user_sends_cannot_forge_a_line_on_a_terminal(terminal: Terminal, evil: str) -> None:
    """T44."""
    logging.getLogger("jobworker.x").warning("start", extra={"program": evil, "user": "alice"})
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert text.endswith(" user=alice\n")


def test_on_a_terminal_a_trace_stands_below_its_line(terminal: Terminal) -> None:
    token = mint()[0].reveal()
    try:
        raise RuntimeError(f"boom\x1b {token}")
    except RuntimeError:
        logging.getLogger("jobworker.x").exception("cannot go on")
    first, *trace = terminal.getvalue().splitlines()
    assert first.endswith("error   cannot go on")
    assert trace[-1].startswith("RuntimeError: boom\\x1b ")
    assert token[16:] not in terminal.getvalue()


def test_a_line_for_a_terminal_is_one_and_harmless() -> None:
    token = mint()[0].reveal()
    assert log.one_line("a\nb\x1b[0m é \udc80") == "a\\nb\\x1b[0m é \\udc80"
    assert token[16:] not in log.one_line(f"bad token {token}")
