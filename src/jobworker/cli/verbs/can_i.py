"""``jobctl can-i``."""

from __future__ import annotations

from jobworker.cli import limits, program, report
from jobworker.cli.invocation import COMMON, Invocation, UsageError, read_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Option

USAGE = "can-i start [OPTIONS] [--] PROGRAM [ARGUMENT...]"
OPTIONS: tuple[Option, ...] = (program.ENV, *limits.SURROUNDINGS)
PROGRAM_FOLLOWS = True
EXITS = (
    ("0", "yes"),
    ("1", "no; or the server cannot be reached"),
    ("2", "wrong use; nothing was sent"),
)
EXAMPLES = (
    "jobctl can-i start -- /usr/bin/make -C /srv/project",
    "jobctl can-i start --run-as reports --no-network -- /usr/bin/sort /srv/data",
)


def run(call: Invocation) -> int:
    """Asks for a start without starting anything: exits with 0 for yes, with 1 for no."""
    if call.words[:1] != ["start"]:
        raise UsageError("can-i knows one thing to ask for: jobctl can-i start -- PROGRAM")
    asked = _options_after_start(call)
    if asked.has("help"):
        from jobworker.cli.verbs import help as helping

        return helping.run(Invocation([], ["can-i"]))
    order = program.Order(asked)
    with asked.client() as client:
        answer = client.can_start(order.program, *order.args, **order.options)
    verdict = "yes" if answer["allowed"] else "no"
    if asked.has("json"):
        report.answer(answer)
    else:
        report.line(verdict if asked.has("quiet") else f"{verdict}: {answer['reason']}")
    return 0 if answer["allowed"] else 1


def _options_after_start(call: Invocation) -> Invocation:
    """The call with the options read that stand between ``start`` and the program."""
    known = (*COMMON, *OPTIONS)
    rest = read_options(known, call.words[1:], until_first_word=True, subject=" can-i")
    return Invocation([*call.options, *rest.options], rest.words)
