"""The entry point of ``jobctl``: finds the verb, lets it act, reports failures."""

from __future__ import annotations

import gc
import os
import sys

from jobworker.cli.commands import load
from jobworker.cli.invocation import COMMON, VERSION, Invocation, UsageError, read_options
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from jobworker.cli.commands import Verb

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""The exit code that a shell reports for a program that SIGPIPE ended (128 + 13)."""


def main() -> NoReturn:
    """Runs the process ``jobctl``, and ends it.

    Two thirds of a short call are the interpreter's own start and end, so both are kept
    short: imports make objects and no garbage, and a dying process need not take its
    objects apart (12 of 60 ms).
    """
    gc.set_threshold(50_000)
    code = run(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)


def run(words: list[str]) -> int:
    """Does what ``words`` say; returns the exit code, with standard output flushed."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text file
    try:
        code = _perform(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"jobctl: cannot write the output: {error.strerror}\n")
        return EXIT_REFUSED
    return code


def _perform(words: list[str]) -> int:
    try:
        module, call = understand(words)
    except UsageError as error:
        return _misused(error, as_json="--json" in _before_dashes(words))
    try:
        return module.run(call)
    except UsageError as error:
        return _misused(error, as_json=call.has("json"))
    except JobWorkerError as error:
        from jobworker.cli import report

        report.failure(error, call)
        return EXIT_REFUSED


def understand(words: list[str]) -> tuple[Verb, Invocation]:
    """The verb that is meant, and its options and words; raises ``UsageError``."""
    first = read_options((*COMMON, VERSION), words, until_first_word=True, subject="")
    if first.has("help"):
        return load("help"), Invocation(first.options, [])
    if first.has("version"):
        return load("version"), first
    if not first.words:
        raise UsageError("no verb was given; see jobctl help")
    name, *rest = first.words
    module = load(name)
    until_first_word = getattr(module, "PROGRAM_FOLLOWS", False)
    call = read_options(
        (*COMMON, *module.OPTIONS), rest, until_first_word=until_first_word, subject=f" {name}"
    )
    if call.has("help"):
        return load("help"), Invocation([*first.options, *call.options], [name])
    call.options[:0] = first.options
    return module, call


def _before_dashes(words: list[str]) -> list[str]:
    """The words that may be options of ``jobctl``, where parsing them has failed."""
    return words[: words.index("--")] if "--" in words else words


def _misused(error: UsageError, *, as_json: bool) -> int:
    from jobworker.cli import report

    if as_json:
        report.answer({"error": f"Error: {error}", "code": error.code})
    report.message(f"jobctl: {error}")
    return EXIT_USAGE


if __name__ == "__main__":
    main()
