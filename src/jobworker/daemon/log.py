"""The server's log on standard error: one JSON object a line, or plain lines on a terminal.

Whatever a client or a job has put into a message is escaped, so no line can be forged,
and the secrets of tokens are left out wherever they come from.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from functools import lru_cache
from itertools import islice
from typing import Any

from jobworker.identity.tokens import redact

_OF_ALL = len(vars(logging.makeLogRecord({})))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""The fields of every record; any other was given as ``extra`` and goes into the line."""

_ENCODER = json.JSONEncoder(default=repr)


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for ``record``, without its end."""
        entry: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_given(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return redact(_ENCODER.encode(entry))


class PlainLines(logging.Formatter):
    """Writes a record for people: a line, ``TIME LEVEL message key=value``, and its trace below."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines for ``record``, without the end of the last."""
        given = _given(record)
        words = [
            f"{_second(int(record.created))}Z",
            f"{record.levelname.lower():<7}",
            record.getMessage(),
        ]
        words += [f"{key}={_word(value)}" for key, value in given.items() if value is not None]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n".join(map(one_line, lines))


@lru_cache(maxsize=1)  # many lines fall into one second
def _second(seconds: int) -> str:
    """A moment in UTC, as RFC 3339 has it but for its offset."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _given(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were given as ``extra``: they come after those of all records."""
    fields = islice(vars(record).items(), _OF_ALL, None)
    return {key: value for key, value in fields if key not in _STANDARD}


def _word(value: object) -> str:
    """A value as one word, in quotes where it would be several."""
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)


def configure() -> None:
    """Sends all logging of this process to standard error.

    What no line shows is not looked up for it: the thread, the process, the place in the code.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("jobworker").setLevel(logging.INFO)  # libraries speak of their insides
    logging.captureWarnings(True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - this is how logging's documentation has it


def one_line(text: str) -> str:
    """``text`` fit for one line of a terminal: secrets left out, control characters escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in redact(text)
    )
