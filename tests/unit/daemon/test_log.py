import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from jobworker.daemon import log
from jobworker.identity.tokens import mint
from jobworker.model import StatusName


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


ODD = 'quote " slash \\ / é ☃ \U0001f600 \udc80 \x00 \n'


@pytest.mark.parametrize(
    "value",
    [
        *(ODD, "", 0, -1, 2**70, True, False, None, 4.12, 1e300, -0.0, 1e-7),
        *(float("inf"), float("nan"), [1, "a"], {"a": {"b": None}}, (1, 2), {1}, b"\xff"),
        StatusName.COMPLETED,
        HTTPStatus.OK,
    ],
)
def test_a_line_is_what_json_dumps_makes_of_it(lines: io.StringIO, value: object) -> None:
    """To the byte: those who read logs by patterns rely on its spaces."""
    logging.getLogger("jobworker.x").info("ready", extra={"value": value, ODD: value})
    text = lines.getvalue()
    assert ', "level": "info", "logger": "jobworker.x", "message": "ready", "value": ' in text
    entry = {**json.loads(text), "value": value, ODD: value}
    assert text == json.dumps(entry, default=repr) + "\n"


@pytest.mark.parametrize("created", [0.0, 1.0625, 1.5, 951782399.9375, 1795741201.25, 4102444800.5])
def test_a_line_has_the_moment_of_its_record(lines: io.StringIO, created: float) -> None:
    """Whichever came before it."""
    logger = logging.getLogger("jobworker.x")
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "x", (), None)
    record.created, record.msecs = created, created % 1 * 1000
    logger.handle(record)
    moment = datetime.fromtimestamp(created, UTC)
    assert json.loads(lines.getvalue())["time"] == moment.isoformat(timespec="milliseconds")


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
