"""``jobctl help``, made from the table of verbs and each verb's own options."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import COMMON, UsageError
from jobworker.cli.verbs import VERBS, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "help [VERB]"
OPTIONS: tuple[Option, ...] = ()

_CODES = """\
Exit codes: 0 done; 1 refused by the server, or it cannot be reached; 2 wrong use.
run and wait exit as the job did: its own code, 128+N killed by signal N, 124 timed out,
137 stopped, out of memory or too much output, 125 the service failed, 126 the program
cannot be executed, 127 it was not found."""


def run(call: Invocation) -> int:
    """Show how to use ``jobctl``, or one verb of it."""
    if len(call.words) > 1:
        raise UsageError("help takes one verb at most; see jobctl help")
    for text in _about_verb(call.words[0]) if call.words else _about_all():
        report.line(text)
    return 0


def _about_all() -> list[str]:
    return [
        "Usage: jobctl [-u NAME] VERB [OPTIONS] ...",
        "",
        *(f"  {name:<9} {summary}" for name, _, summary in VERBS),
        "",
        "A job is named by its ID or the beginning of it. jobctl help VERB tells more.",
        "",
        *_CODES.splitlines(),
    ]


def _about_verb(name: str) -> list[str]:
    module = load(name)
    summary = next(text for verb, _, text in VERBS if verb == name)
    options = [_option(option) for option in (*module.OPTIONS, *COMMON)]
    return [
        f"Usage: jobctl {module.USAGE}",
        "",
        f"{summary[0].upper()}{summary[1:]}.",
        "",
        *options,
        *_examples(getattr(module, "EXAMPLES", ())),
    ]


def _examples(commands: tuple[str, ...]) -> list[str]:
    return ["", "Examples:", *(f"  {command}" for command in commands)] if commands else []


def _option(option: Option) -> str:
    name, letter, metavar, meaning = option
    flags = f"-{letter}, --{name}" if letter else f"    --{name}"
    return f"  {f'{flags} {metavar}'.rstrip():<26} {meaning}"
