"""The options of ``start`` and ``run`` that bound a job: one table, read strictly.

The bounds are those of ``schema.py``, which would cost each call its libraries; a test
holds the two together.
"""

from __future__ import annotations

from jobworker import units
from jobworker.cli.invocation import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jobworker.cli.invocation import Invocation, Option

LEVELS = ("full", "namespaces", "uid", "basic")
"""The levels of containment, the strongest first."""


class Bound:
    """One number that bounds a job: its option, its field of the request, its range.

    A word without an option is called by its metavar, as in help.
    """

    __slots__ = ("called", "field", "least", "meaning", "metavar", "most", "option", "read", "span")

    def __init__(
        self,
        option: str,
        metavar: str,
        read: Callable[[str], float],
        span: tuple[float, float, str],
        meaning: str,
    ) -> None:
        self.option = option
        self.called = f"--{option}" if option else metavar
        first, *others = option.split("-")
        self.field = first + "".join(map(str.capitalize, others))
        self.metavar = metavar
        self.read = read
        self.least, self.most, self.span = span
        self.meaning = meaning

    def value(self, text: str) -> float:
        """The number that was typed; raises ``UsageError``."""
        try:
            value = self.read(text)
        except ValueError as error:
            raise UsageError(f"{self.called}: {error}") from None
        if not self.least <= value <= self.most:
            raise UsageError(f"{self.called} must be {self.span}, not {text!r}")
        return value


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 20:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _cpus(text: str) -> float:
    whole, _, rest = text.partition(".")
    if not (whole + rest).isdecimal() or not text.isascii():
        raise ValueError(f"{text!r} is not a number of CPUs; write 2, or 0.5 for half of one")
    return float(text)


_SIZES = (1, 2**60, "from 1 byte to 1048576 T")

LIMITS = (
    Bound("memory", "SIZE", units.parse_size, _SIZES, "memory of all its processes (512M)"),
    Bound("cpus", "NUMBER", _cpus, (0.01, 1024, "from 0.01 to 1024"), "CPUs at once (1.5)"),
    Bound("pids", "N", _count, (1, 2**22, "from 1 to 4194304"), "processes and threads at once"),
    Bound("open-files", "N", _count, (8, 2**20, "from 8 to 1048576"), "open files of a process"),
    Bound("output", "SIZE", units.parse_size, _SIZES, "output that is kept (1G)"),
    Bound("tmp", "SIZE", units.parse_size, _SIZES, "what it may store in its /tmp (2G)"),
    Bound(
        "nice", "N", _count, (0, 19, "from 0 to 19"), "0 to 19: lets others go first, as nice(1)"
    ),
)
"""The fields of ``limits`` in the request."""

_TIME = (0.001, 10 * 365 * 86_400, "from a millisecond to ten years")
EXTENSION = Bound("", "DURATION", units.parse_duration, _TIME, "how much longer it may run")
TIMES = (
    Bound("timeout", "DURATION", units.parse_duration, _TIME, "end it after this time (10m)"),
    Bound(
        "grace",
        "DURATION",
        units.parse_duration,
        (0, 86_400, "at most a day"),
        "then SIGTERM first, SIGKILL after this time (10s)",
    ),
)

SURROUNDINGS: tuple[Option, ...] = (
    ("no-network", "", "", "without network, but for a loopback of its own"),
    ("run-as", "", "NAME", "as this account of the server's machine"),
)
"""The other options that the policy decides about."""

OPTIONS: tuple[Option, ...] = (
    *((bound.option, "", bound.metavar, bound.meaning) for bound in (*TIMES, *LIMITS)),
    *SURROUNDINGS,
    ("containment", "", "LEVEL", f"run it at this level at least: {', '.join(LEVELS)}"),
)


def fields(call: Invocation) -> dict[str, Any]:
    """The options' values, as fields of the request; raises ``UsageError``."""
    found: dict[str, Any] = _values(call, TIMES)
    if limits := _values(call, LIMITS):
        found["limits"] = limits
    if call.has("no-network"):
        found["network"] = False
    if (account := call.value("run-as")) is not None:
        if not account or not account.isprintable() or len(account) > 256:
            raise UsageError(f"--run-as takes the name of an account, not {account[:80]!r}")
        found["runAs"] = account
    if (level := call.value("containment")) is not None:
        if level not in LEVELS:
            raise UsageError(f"--containment takes one of {', '.join(LEVELS)}, not {level!r}")
        found["containment"] = level
    return found


def _values(call: Invocation, bounds: tuple[Bound, ...]) -> dict[str, float]:
    return {
        bound.field: bound.value(text)
        for bound in bounds
        if (text := call.value(bound.option)) is not None
    }
