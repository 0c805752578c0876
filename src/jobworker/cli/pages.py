"""The text about ``jobctl`` and each verb, from which help and man pages are made."""

from __future__ import annotations

from jobworker.cli.commands import VERBS, load
from jobworker.cli.invocation import COMMON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker.cli.invocation import Option

SUMMARY = "run programs as jobs on a job worker server"
SYNOPSIS = "[-u NAME] VERB [OPTIONS] ..."
NAMING = """\
A job is named by its ID, by the beginning of it (j-9f8b), or by the name that it was started
with, as long as that fits one job only; of jobs of one name those that have not ended go first.
Data go to standard output, messages to standard error; colour, progress and hints to
terminals only. With --json each answer is one object on one line of standard output, and
has an error: null, or a sentence, with its code beside it."""

EXITS = (
    ("0", "done"),
    ("1", "refused by the server, or it cannot be reached"),
    ("2", "wrong use; nothing was sent"),
)
"""The exit codes of every verb that does not say otherwise."""

UNITS = {
    "DURATION": "90 or 90s, 10m, 1h30m, 2d; without a unit seconds",
    "SIZE": "65536, 512K, 512M, 1.5G, 2T; powers of 1024, without a unit bytes",
    "TIME": "2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 10m; without a zone local time",
}
"""The form of a value, by its name in the usage."""

ENVIRONMENT = (
    (
        "JOBCTL_CONFIG",
        "the file with the profiles; otherwise jobctl/config.json in XDG_CONFIG_HOME",
    ),
    ("JOBCTL_USER", "the profile to use where -u names none"),
    ("JOBCTL_SERVER", "https://HOST:PORT or unix:PATH, in the place of the profile's own"),
    (
        "JOBCTL_PATIENCE",
        "how long to try again while the server is away; otherwise 10s, for run and wait 5m",
    ),
    (
        "JOBCTL_COMPLETION_TIMEOUT",
        "how long completion waits for a server that is far away; otherwise 0.2s",
    ),
    ("NO_COLOR", "not empty: no colours"),
)

FILES = (("~/.config/jobctl/config.json", "the profiles, with their tokens; mode 0600"),)


class Page:
    """The page of a verb: its usage, summary, options, examples and exit codes."""

    __slots__ = ("details", "examples", "exits", "name", "options", "summary", "usage")

    def __init__(self, name: str) -> None:
        """Reads the verb's module; raises ``UsageError`` where there is no such verb."""
        module = load(name)
        self.name = name
        self.usage = module.USAGE
        summary = next(text for verb, _, text in VERBS if verb == name)
        self.summary = f"{summary[0].upper()}{summary[1:]}."
        self.details: str = getattr(module, "DETAILS", "")
        self.options = module.OPTIONS
        self.examples: tuple[str, ...] = getattr(module, "EXAMPLES", ())
        self.exits: tuple[tuple[str, str], ...] = getattr(module, "EXITS", EXITS)

    def units(self) -> list[tuple[str, str]]:
        """The forms of the values that this verb takes."""
        called = {metavar for _, _, metavar, _ in self.options} | set(self.usage.split())
        return [(name, text) for name, text in UNITS.items() if name in called]


def flags(option: Option) -> str:
    """An option as it is typed: ``-u, --user NAME``."""
    name, letter, metavar, _ = option
    return f"{f'-{letter}, ' if letter else ''}--{name} {metavar}".rstrip()


def as_json(name: str) -> dict[str, object]:
    """The page of a verb, for a program."""
    page = Page(name)
    return {
        "verb": name,
        "usage": f"jobctl {page.usage}",
        "summary": page.summary,
        "options": _options((*page.options, *COMMON)),
        "examples": list(page.examples),
        "exitCodes": [{"code": code, "meaning": meaning} for code, meaning in page.exits],
        "error": None,
    }


def _options(options: Sequence[Option]) -> list[dict[str, str | None]]:
    return [
        {"name": name, "letter": letter or None, "value": metavar or None, "meaning": meaning}
        for name, letter, metavar, meaning in options
    ]
