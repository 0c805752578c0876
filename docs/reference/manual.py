"""The man pages, as troff with man(7) macros, from what help is made of."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from jobworker.cli import endings, pages
from jobworker.cli.commands import VERBS
from jobworker.cli.invocation import COMMON
from jobworker.config.settings import SETTINGS
from jobworker.daemon.main import COMMANDS, make_parser
from jobworker.version import VERSION

if TYPE_CHECKING:
    from jobworker.cli.invocation import Option

NOTE = r".\" Made by scripts/docs from the code; change it there."
EDITION = "2026-11-24"
"""What stands at the foot of a page: the day on which the pages got their form."""

Row = tuple[str, str]


def jobctl() -> str:
    """All of a page about jobctl, for section 1."""
    return "\n".join(
        [
            *_head("jobctl", pages.SUMMARY),
            *_synopsis("jobctl", pages.SYNOPSIS),
            *_section("DESCRIPTION", [*_paragraphs(pages.NAMING), *_tagged(_summaries())]),
            *_section("COMMON OPTIONS", _options(COMMON)),
            ".SH VERBS",
            *(line for name, _, _ in VERBS for line in _verb(pages.Page(name))),
            *_section("VALUES", _tagged(pages.UNITS.items())),
            *_section("EXIT STATUS", _exits()),
            *_section("ENVIRONMENT", _tagged(pages.ENVIRONMENT)),
            *_section("FILES", _tagged(pages.FILES)),
            *_section("SEE ALSO", [r".BR jobd (1)"]),
            "",
        ]
    )


def jobd() -> str:
    """All of a page about jobd, for section 1."""
    parser = make_parser()
    return "\n".join(
        [
            *_head("jobd", "server of the job worker service"),
            *_synopsis("jobd", "COMMAND [OPTIONS] ..."),
            *_section("DESCRIPTION", _paragraphs(_JOBD)),
            ".SH COMMANDS",
            *(
                line
                for words, command in _commands(parser, ["jobd"])
                for line in _jobd(words, command)
            ),
            *_section("EXIT STATUS", _tagged(_JOBD_EXITS)),
            *_section("ENVIRONMENT", _tagged(_variables())),
            *_section("SIGNALS", _tagged(_JOBD_SIGNALS)),
            *_section("SEE ALSO", [r".BR jobctl (1)"]),
            "",
        ]
    )


_JOBD = """\
Runs the programs that users of jobctl ask for, each walled off from the others and from the
machine. The first start on an empty state makes all that is needed: a local certificate
authority, a database, the user admin and its profile for this account.

Settings are taken from options, then from variables, then from the TOML file that --config
names."""

_JOBD_EXITS = (
    ("0", "done"),
    ("1", "it cannot be done; one line says what, why and what to do about it"),
    ("2", "wrong use"),
)

_JOBD_SIGNALS = (
    ("SIGTERM, SIGINT", "finish the requests in hand and exit with 0; jobs go on"),
    ("SIGHUP", "read the limits, the queue and the policy anew"),
)


def _summaries() -> list[Row]:
    return [(name, summary) for name, _, summary in VERBS]


def _verb(page: pages.Page) -> Iterator[str]:
    yield f".SS {_text(page.name)}"
    yield from _usage(f"jobctl {page.usage}")
    yield from _paragraphs(page.summary)
    if page.details:
        yield from _paragraphs(page.details)
    yield from _options(page.options)
    if page.examples:
        yield from _example(page.examples)
    if page.exits not in (pages.EXITS, endings.EXITS):
        yield from _paragraphs("Exit status:")
        yield from _tagged(page.exits)


def _exits() -> Iterator[str]:
    yield from _tagged(pages.EXITS)
    as_the_job = [name for name, _, _ in VERBS if pages.Page(name).exits == endings.EXITS]
    yield from _paragraphs(f"{', '.join(as_the_job)}:")
    yield from _tagged(endings.EXITS)


def _commands(
    parser: argparse.ArgumentParser, words: list[str]
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something by itself, with the words that name it."""
    below = [action for action in parser._actions if isinstance(action.choices, dict)]  # noqa: SLF001  argparse shows its arguments nowhere else
    if not below:
        yield " ".join(words), parser
    for action in below:
        assert action.choices
        for name, command in dict(action.choices).items():
            yield from _commands(command, [*words, name])


def _jobd(words: str, command: argparse.ArgumentParser) -> Iterator[str]:
    arguments = [a for a in command._actions if a.option_strings != ["-h", "--help"]]  # noqa: SLF001
    plain = [action.metavar or action.dest for action in arguments if not action.option_strings]
    yield f".SS {_text(words.removeprefix('jobd '))}"
    yield from _usage(
        " ".join([words, *map(str, plain), "[OPTIONS]" if arguments else ""]).rstrip()
    )
    about = command.description or _about(words)
    yield from _paragraphs(about)
    yield from _tagged(
        (_flag(action), _meaning(command, action))
        for action in arguments
        if action.option_strings and action.help
    )


def _meaning(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What help says of an option; of the state it says what is so for this account."""
    if action.dest == "state":
        _, _, meaning = SETTINGS["state"]
        return f"{meaning}; default /var/lib/jobd as root, otherwise jobd in XDG_STATE_HOME"
    return command._get_formatter()._expand_help(action)  # noqa: SLF001  it fills %(default)s in


def _about(words: str) -> str:
    """What stands beside a command of a command in help."""
    _, name, action = words.split()
    parser = argparse.ArgumentParser()
    COMMANDS[name].configure(parser)
    for group in parser._actions:  # noqa: SLF001
        for choice in getattr(group, "_choices_actions", ()):
            if choice.dest == action:
                text: str = choice.help or ""
                return f"{text[:1].upper()}{text[1:]}."
    return ""


def _flag(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    return f"{names} {value}"


def _variables() -> list[Row]:
    settings = [(f"JOBD_{key.upper()}", meaning) for key, (_, _, meaning) in SETTINGS.items()]
    return [*settings, ("JOBD_CONFIG", "TOML file with settings")]


def _head(name: str, summary: str) -> list[str]:
    title = f'.TH {name.upper()} 1 "{EDITION}" "jobworker {VERSION}" "User Commands"'
    return [NOTE, title, ".SH NAME", rf"{name} \- {_text(summary)}"]


def _synopsis(name: str, usage: str) -> list[str]:
    return [".SH SYNOPSIS", rf"\fB{name}\fP {_text(usage)}"]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f".SH {title}", *_without_leading_break(lines)]


def _without_leading_break(lines: Iterable[str]) -> list[str]:
    """A paragraph begins with the section; a break of its own would be one too many."""
    found = list(lines)
    return found[1:] if found[:1] == [".PP"] else found


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        yield from _lines(paragraph)


def _usage(usage: str) -> list[str]:
    return [rf"\fB{_text(usage)}\fP"]


def _options(options: Sequence[Option]) -> Iterator[str]:
    return _tagged((pages.flags(option), option[3]) for option in options)


def _tagged(rows: Iterable[Row]) -> Iterator[str]:
    for name, meaning in rows:
        yield ".TP"
        yield rf"\fB{_text(name)}\fP"
        yield from _lines(meaning)


def _example(commands: Iterable[str]) -> Iterator[str]:
    yield ".PP"
    yield "Examples:"
    yield ".PP"
    yield ".EX"
    yield from (f"    {_text(command)}" for command in commands)
    yield ".EE"


def _lines(text: str) -> list[str]:
    """Running text in lines of the length that mandoc -Tlint wants."""
    escaped = _escaped(" ".join(text.split()))
    wrapped = textwrap.wrap(escaped, 78, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in wrapped]


def _text(text: str) -> str:
    """One line of text, in which nothing is troff's."""
    return _guarded(_escaped(text))


def _guarded(line: str) -> str:
    """A line that is no request to troff, though it may begin with a dot."""
    return rf"\&{line}" if line[:1] == "." else line


def _escaped(text: str) -> str:
    r"""Text in which nothing is troff's: ``-`` stays a dash that can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    escaped = escaped.replace("`", r"\(ga").replace("^", r"\(ha").replace("~", r"\(ti")
    return escaped.replace("\u2026", r"\&...")
