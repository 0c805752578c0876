"""The command line of ``jobd``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from jobworker.daemon import doctor, log, policy, serve, token, user, version
from jobworker.daemon.log import one_line
from jobworker.daemon.process import prepare
from jobworker.errors import JobWorkerError, reason_of

_log = logging.getLogger(__name__)

FAILED = 1
WRONG_USE = 2


class Command(Protocol):
    """The module of a command."""

    ABOUT: str

    def configure(self, parser: argparse.ArgumentParser, /) -> None:
        """Declares the command's arguments."""

    def run(self, arguments: argparse.Namespace, /) -> None:
        """Carries the command out; raises ``JobWorkerError`` or ``OSError`` where it cannot."""


COMMANDS: dict[str, Command] = {
    "serve": serve,
    "user": user,
    "token": token,
    "policy": policy,
    "doctor": doctor,
    "version": version,
}


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"jobd: {one_line(message)}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    prepare()
    log.configure()
    parsed = make_parser().parse_args(arguments)
    try:
        COMMANDS[parsed.command].run(parsed)
    except JobWorkerError as error:
        return _fail(describe(parsed.command, error))
    except OSError as error:
        return _fail(f"cannot {parsed.command}: {reason_of(error)}")
    except KeyboardInterrupt:
        return _fail(f"cannot {parsed.command}: interrupted")
    except Exception as error:  # noqa: BLE001 - the last resort
        # An operator gets one line; the trace is in the log, as one escaped field.
        _log.exception("cannot %s", parsed.command)
        return _fail(f"cannot {parsed.command}: {error!r}; this is a bug, please report it")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser that the table of commands amounts to."""
    parser = _Parser(
        prog="jobd",
        description="The job worker's server and its administration.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        about = command.ABOUT
        command.configure(
            commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        )
    return parser


def describe(command: str, error: JobWorkerError) -> str:
    """The message of an error: what could not be done, why, and what to do about it."""
    text = str(error)
    if not text.startswith("cannot "):
        text = f"cannot {command}: {text}"
    return f"{text}; {error.hint}" if error.hint else text


def _fail(text: str) -> int:
    print(f"jobd: {one_line(text)}", file=sys.stderr)  # noqa: T201 - what a command prints
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
