"""The typed command line: the options and words of one call, read strictly."""

from __future__ import annotations

import getopt
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker.client.client import Client
    from jobworker.client.retry import Retry, RetryPolicy

    Option = tuple[str, str, str, str]
    """An option: its name, one letter or "", the name of its value or "", its meaning."""


COMMON: tuple[Option, ...] = (
    ("user", "u", "NAME", "profile to use; otherwise JOBCTL_USER, then the default one"),
    ("json", "", "", "print the server's answer as one line of JSON"),
    ("quiet", "q", "", "print bare IDs"),
    ("help", "h", "", "show this help"),
)


VERSION: Option = ("version", "", "", "show the version of jobctl")
"""The option that is none of any verb."""


class UsageError(Exception):
    """A wrong use of ``jobctl``, told in one line; the exit code is 2."""

    code = "wrong_use"


class Invocation:
    """The options and words of one call, without the verb itself."""

    __slots__ = ("options", "words")

    def __init__(self, options: list[tuple[str, str]], words: list[str]) -> None:
        self.options = options
        self.words = words

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return any(option == name for option, _ in self.options)

    def values(self, name: str) -> list[str]:
        """All values that the option was given, in order."""
        return [value for option, value in self.options if option == name]

    def value(self, name: str) -> str | None:
        """The option's last value, or None."""
        values = self.values(name)
        return values[-1] if values else None

    def client(self) -> Client:
        """A client for the profile that was asked for; only now is a profile read."""
        from jobworker.client.client import Client

        return Client.from_profile(
            self.value("user"),
            retry_policy=retry_policy(),
            on_retry=_tell,
            on_detour=_tell_detour if sys.stderr.isatty() else None,
        )


VARIABLE = "JOBCTL_PATIENCE"


def retry_policy() -> RetryPolicy:
    """The policy of retries; raises ``UsageError`` where the environment has no duration."""
    from jobworker.client.retry import DEFAULT, RetryPolicy

    text = os.environ.get(VARIABLE)
    if not text:
        return DEFAULT
    from jobworker.units import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{VARIABLE}: {error}") from None
    return RetryPolicy(calls=seconds, outage=seconds)


def _tell(retry: Retry) -> None:
    """Says that the server is away, and says it only once."""
    if retry.attempt == 1:
        sys.stdout.flush()
        over = "\r" if sys.stderr.isatty() else ""  # there may be a line of progress
        sys.stderr.write(f"{over}jobctl: {retry.error}; trying again\n")


def _tell_detour(sentence: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"\rhint: {sentence}\n")


def read_options(
    known: Sequence[Option], words: list[str], *, until_first_word: bool, subject: str
) -> Invocation:
    """Takes the options out of ``words``; raises ``UsageError``.

    Options may stand among the words, or only before the first one where that begins a
    command line of its own. ``--`` ends them in any case.
    """
    short = "".join(letter + ":" * bool(metavar) for _, letter, metavar, _ in known if letter)
    long = [name + "=" * bool(metavar) for name, _, metavar, _ in known]
    names = {f"-{letter}": name for name, letter, _, _ in known if letter}
    parse = getopt.getopt if until_first_word else getopt.gnu_getopt
    try:
        found, rest = parse(words, short, long)
    except getopt.GetoptError as error:
        raise UsageError(f"{_explained(error, known)} see jobctl help{subject}") from None
    return Invocation([(names.get(flag, flag[2:]), value) for flag, value in found], rest)


def _explained(error: getopt.GetoptError, known: Sequence[Option]) -> str:
    if not error.msg.endswith("not recognized"):
        return f"{error.msg};"
    from jobworker.cli import suggestions

    return error.msg + (suggestions.option(error.opt, (name for name, *_ in known)) or ";")


def no_words(call: Invocation) -> None:
    """Raises ``UsageError`` for words where a verb takes none."""
    if call.words:
        raise UsageError(f"{call.words[0]!r} is one word too many; see jobctl help")
