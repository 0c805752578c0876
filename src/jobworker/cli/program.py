"""The shared part of ``start`` and ``run``: the program, and the options of its run."""

from __future__ import annotations

import os

from jobworker.cli import limits
from jobworker.cli.invocation import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import IdAnswer
    from jobworker.client.client import Client

ENV: Option = ("env", "", "KEY=VALUE", "set a variable of the job's environment (repeatable)")
OPTIONS: tuple[Option, ...] = (
    ENV,
    ("stdin", "", "FILE", "send the file as standard input, - for all of ours (at most 16M)"),
    ("cwd", "", "DIRECTORY", "where the job starts; otherwise a directory of its own"),
    ("name", "", "NAME", "a name to find the job by"),
    ("label", "", "KEY=VALUE", "a label to find the job by (repeatable)"),
    *limits.OPTIONS,
)


class Order:
    """A start that was asked for on the command line, checked as far as a client can."""

    __slots__ = ("args", "options", "program", "stdin")

    def __init__(self, call: Invocation) -> None:
        """Reads the call; raises ``UsageError``."""
        if not call.words:
            raise UsageError("no program was given, for example: jobctl start -- /bin/echo hello")
        self.program, *self.args = call.words
        self.options = _options(call)
        for word in call.words:
            if "\0" in word:
                raise UsageError("a program and its arguments cannot hold a NUL byte")
        _check_program(self.program)
        self.stdin = call.value("stdin")
        if self.stdin is not None:
            from jobworker.cli.stdin import check

            check(self.stdin)

    def start(self, client: Client) -> IdAnswer:
        """Sends it."""
        if self.stdin is not None:
            from jobworker.cli.stdin import read

            self.options["stdin"] = read(self.stdin)
        return client.start(self.program, *self.args, wait=None, **self.options)


def _options(call: Invocation) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: value for name in ("cwd", "name") if (value := call.value(name)) is not None
    }
    for option, field in (("env", "env"), ("label", "labels")):
        if pairs := dict(pair(option, text) for text in call.values(option)):
            options[field] = pairs
    for field, value in options.items():
        texts = [value] if isinstance(value, str) else [*value, *value.values()]
        for text in texts:
            _check_text(field, text)
    return options | limits.fields(call)


def pair(option: str, text: str) -> tuple[str, str]:
    """The two parts of an option's ``KEY=VALUE``; raises ``UsageError``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--{option} takes KEY=VALUE, not {text!r}")
    return key, value


def _check_text(field: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"the {field} must be UTF-8, not {text!r}; only arguments may be other bytes"
        ) from None


def _check_program(program: str) -> None:
    if not program:
        raise UsageError("the program is empty; give the absolute path of one")
    _check_text("program", program)
    if not program.startswith("/"):
        found = _look_up(program)
        advice = f"try {found}" if found else "give its whole path"
        raise UsageError(f"the program must be an absolute path, not {program!r}; {advice}")


def _look_up(program: str) -> str | None:
    """The program's path on this machine, which often is the same on the server's; or None."""
    if "/" in program:
        candidates = [os.path.abspath(program)]
    else:
        places = ("/bin", "/usr/bin", *os.get_exec_path())
        candidates = [os.path.join(place, program) for place in places if place.startswith("/")]
    return next((path for path in candidates if os.access(path, os.X_OK)), None)
