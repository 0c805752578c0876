"""``jobctl help``, made from the table of verbs and each verb's own options."""

from __future__ import annotations

from jobworker.cli import pages, report
from jobworker.cli.commands import VERBS
from jobworker.cli.invocation import COMMON, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker.cli.invocation import Invocation, Option

USAGE = "help [VERB]"
OPTIONS: tuple[Option, ...] = ()
EXAMPLES = ("jobctl help", "jobctl help run", "jobctl run --help")


def run(call: Invocation) -> int:
    """Shows how to use ``jobctl``, or one verb of it."""
    if len(call.words) > 1:
        raise UsageError("help takes one verb at most; see jobctl help")
    name = call.words[0] if call.words else None
    if call.has("json"):
        report.answer(pages.as_json(name) if name else _verbs())
        return 0
    for text in _about_verb(pages.Page(name)) if name else _about_all():
        report.line(text)
    return 0


def _verbs() -> dict[str, object]:
    verbs = [{"verb": name, "summary": summary} for name, _, summary in VERBS]
    return {"usage": f"jobctl {pages.SYNOPSIS}", "verbs": verbs, "error": None}


def _about_all() -> list[str]:
    return [
        f"Usage: jobctl {pages.SYNOPSIS}",
        "",
        f"{pages.SUMMARY[0].upper()}{pages.SUMMARY[1:]}.",
        "",
        *_columns([(name, summary) for name, _, summary in VERBS]),
        "",
        *pages.NAMING.splitlines(),
        "",
        "Exit codes (run and wait have more):",
        *_columns(pages.EXITS),
        "",
        "Environment:",
        *_columns(pages.ENVIRONMENT),
        "",
        "jobctl help VERB tells more about a verb, with examples.",
    ]


def _about_verb(page: pages.Page) -> list[str]:
    return [
        f"Usage: jobctl {page.usage}",
        "",
        page.summary,
        *(["", *page.details.splitlines()] if page.details else []),
        "",
        *map(_option, (*page.options, *COMMON)),
        *_part("", _columns(page.units())),
        *_part("Examples:", [f"  {command}" for command in page.examples]),
        *_part("Exit codes:", _columns(page.exits)),
    ]


def _part(title: str, lines: list[str]) -> list[str]:
    return ["", *([title] if title else []), *lines] if lines else []


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def _option(option: Option) -> str:
    flags = pages.flags(option)
    indent = "" if option[1] else "    "
    return f"  {indent + flags:<26} {option[3]}"
