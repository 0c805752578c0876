"""The position of the cursor in an unfinished command line: the kind of word wanted there.

The module is pure: it knows only the tables of verbs and options. ``complete.py`` finds the
words.
"""

from __future__ import annotations

from jobworker.cli.commands import load
from jobworker.cli.invocation import COMMON, VERSION, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker.cli.commands import Verb
    from jobworker.cli.invocation import Option

VERB = "VERB"
OPTION = "OPTION"
VALUE = "VALUE"


class Cursor:
    """The word that is wanted at the cursor; ``typed`` is its beginning.

    ``wants`` is ``VERB``, ``OPTION``, ``VALUE`` (of ``option``) or a word as the verb's
    usage calls it: ``ID``, ``PROGRAM``, ``bash|zsh|fish``, or "" where there is none.
    ``lead`` is the text before ``typed`` in the same word: ``--status=``.
    """

    __slots__ = (
        "_module",
        "_options_end",
        "lead",
        "named",
        "option",
        "options",
        "typed",
        "user",
        "verb",
        "wants",
    )

    def __init__(self, words: Sequence[str]) -> None:
        """Reads the words of a line up to the cursor; the last one may be empty."""
        *before, self.typed = _joined(words) or [""]
        self.verb: str | None = None
        self.user: str | None = None
        self.options: tuple[Option, ...] = (*COMMON, VERSION)
        self.option: Option | None = None
        self.named: list[str] = []
        self.lead = ""
        self._module: Verb | None = None
        self._options_end = False
        for word in before:
            self._read(word)
        self.wants = self._wanted()

    def _read(self, word: str) -> None:
        if self.option:
            self._value(word)
        elif word == "--" and not self._options_end:
            self._options_end = True
        elif word.startswith("-") and not self._options_end:
            self._read_option(word)
        elif self.verb is None:
            self.verb = word
            self._module = _module(word)
            self.options = (*COMMON, *self._module.OPTIONS) if self._module else ()
        else:
            self.named.append(word)
            # Words after a program are its arguments.
            self._options_end |= self._place(len(self.named) - 1) == "PROGRAM"

    def _place(self, index: int) -> str:
        return place(self._module.USAGE, index) if self._module else ""

    def _wanted(self) -> str:
        if self.option:
            return VALUE
        if self.typed.startswith("-") and not self._options_end:
            name, equals, value = self.typed.partition("=")
            if not equals:
                return OPTION
            self._read_option(name)
            self.lead, self.typed = name + equals, value
            return VALUE if self.option else ""
        return VERB if self.verb is None else self._place(len(self.named))

    def _read_option(self, word: str) -> None:
        """Notes the option whose value comes next, or takes the value that it has with it."""
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            self.option = next((o for o in self.options if o[0] == name and o[2]), None)
            if equals:
                self._value(value)
            return
        for index, letter in enumerate(word[1:], 2):
            self.option = next((o for o in self.options if o[1] == letter and o[2]), None)
            if self.option:
                if word[index:]:
                    self._value(word[index:])
                return

    def _value(self, word: str) -> None:
        if self.option and self.option[0] == "user":
            self.user = word
        self.option = None


def place(usage: str, index: int) -> str:
    """The name in a usage line of the word at ``index`` after the verb."""
    words, skipping = [], False
    for word in usage.split()[1:]:
        skipping = skipping or word.startswith("[-") or word == "[OPTIONS]"
        if not skipping:
            words.append(word.strip("[]"))
        skipping = skipping and not word.endswith("]")
    if index < len(words):
        return words[index].removesuffix("...")
    return words[-1].removesuffix("...") if words and words[-1].endswith("...") else ""


def _joined(words: Sequence[str]) -> list[str]:
    """The words with ``=`` as it was typed; bash makes three of ``--status=Running``."""
    joined: list[str] = []
    glue = False
    for word in words:
        if (glue or word == "=") and joined:
            joined[-1] += word
        else:
            joined.append(word)
        glue = word == "="
    return joined


def _module(verb: str) -> Verb | None:
    try:
        return load(verb)
    except UsageError:
        return None
