"""The typed command line: the options and words of one call, read strictly."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    command line of its own. ``--`` ends them in any case. All is as ``getopt`` has it, which
    would load ``gettext``.
    """
    until_first_word = until_first_word or bool(os.environ.get("POSIXLY_CORRECT"))
    options: list[tuple[str, str]] = []
    rest: list[str] = []
    left = [*words]
    try:
        while left and (word := left.pop(0)) != "--":
            if word.startswith("--"):
                options.append(_long(known, word[2:], left))
            elif word.startswith("-") and word != "-":
                options += _short(known, word[1:], left)
            else:
                rest.append(word)
                if until_first_word:
                    break
    except UsageError as error:
        raise UsageError(f"{error} see jobctl help{subject}") from None
    return Invocation(options, rest + left)


def _long(known: Sequence[Option], text: str, left: list[str]) -> tuple[str, str]:
    """The option ``--text``, with its value, which may be the first of the words ``left``."""
    typed, equals, value = text.partition("=")
    name, _, metavar, _ = _named(known, typed)
    if equals and not metavar:
        raise UsageError(f"option --{name} must not have an argument;")
    return name, value if equals or not metavar else _next(left, f"--{name}")


def _short(known: Sequence[Option], letters: str, left: list[str]) -> Iterator[tuple[str, str]]:
    """The options ``-letters``; what stands behind one that takes a value is that."""
    by_letter = {option[1]: option for option in known if option[1]}
    for at, letter in enumerate(letters, 1):
        if letter not in by_letter:
            raise UsageError(_unknown(known, f"-{letter}"))
        name, _, metavar, _ = by_letter[letter]
        if metavar:
            yield name, letters[at:] or _next(left, f"-{letter}")
            return
        yield name, ""


def _named(known: Sequence[Option], typed: str) -> Option:
    """The option of that name, or else the only one whose name begins so."""
    fitting = [option for option in known if option[0].startswith(typed)]
    exact = [option for option in fitting if option[0] == typed]
    if not fitting:
        raise UsageError(_unknown(known, f"--{typed}"))
    if len(fitting) > 1 and not exact:
        raise UsageError(f"option --{typed} not a unique prefix;")
    return (exact or fitting)[0]


def _next(left: list[str], flag: str) -> str:
    if not left:
        raise UsageError(f"option {flag} requires argument;")
    return left.pop(0)


def _unknown(known: Sequence[Option], flag: str) -> str:
    from jobworker.cli import suggestions

    meant = suggestions.option(flag.lstrip("-"), (name for name, *_ in known))
    return f"option {flag} not recognized{meant or ';'}"


def no_words(call: Invocation) -> None:
    """Raises ``UsageError`` for words where a verb takes none."""
    if call.words:
        raise UsageError(f"{call.words[0]!r} is one word too many; see jobctl help")
