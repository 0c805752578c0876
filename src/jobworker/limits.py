"""The limits of a job, one table: what each is called, its bounds, its default, its words.

The command line, the HTTP API and its client, the configuration file, the policy and the
engines are made from it; ``engines.host.enforcement`` says what enforces each limit. Imports
next to nothing: ``jobctl`` pays for it.
"""

from __future__ import annotations

from jobworker import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
    from typing import TypedDict


class Kind:
    """The kind of number that a limit is.

    ``number`` is its type, ``metavar`` the name of its value in help; ``parse`` reads what
    people type and raises ``ValueError``, ``text`` writes it in a message. ``unit`` describes
    the number by itself, where it does not speak for itself.
    """

    __slots__ = ("metavar", "number", "parse", "text", "unit")

    def __init__(
        self,
        number: type[float],
        metavar: str,
        parse: Callable[[str], float],
        text: Callable[[float], str],
        unit: str | None = None,
    ) -> None:
        self.number = number
        self.metavar = metavar
        self.parse = parse
        self.text = text
        self.unit = unit


class Range:
    """The least and the most that a limit may be, and how both are said."""

    __slots__ = ("least", "least_text", "most", "most_text")

    def __init__(
        self,
        least: float,
        most: float,
        least_text: str | None = None,
        most_text: str | None = None,
    ) -> None:
        self.least = least
        self.most = most
        self.least_text = str(least) if least_text is None else least_text
        self.most_text = str(most) if most_text is None else most_text

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        if not self.least_text:
            return f"at most {self.most_text}"
        return f"from {self.least_text} to {self.most_text}"


class Limit:
    """One limit: a row of the table.

    ``name`` is that of Python, ``option`` that of the command line and the configuration file,
    ``field`` that of JSON, ``path`` where a start request has it. ``default`` is what a job
    gets where nobody has decided otherwise; where that is None, ``unlimited`` says what holds.
    A limit may also bound all jobs together (``total``). The lower some are, the more a job
    takes: their ceiling is the least that may be asked for (``ceiling_is_least``).

    The words: ``help`` for the command line, ``description`` for the API (``answered`` for its
    answers, where they differ), ``reference`` for the page about the configuration file.
    """

    __slots__ = (
        *("name", "option", "field", "path", "kind", "range", "default", "unlimited"),
        *("total", "ceiling_is_least", "help", "description", "answered", "reference"),
    )

    def __init__(  # noqa: PLR0913 - one argument a column
        self,
        name: str,
        kind: Kind,
        bounds: Range,
        *,
        help: str,  # noqa: A002 - the usual name of it
        description: str,
        answered: str | None = None,
        reference: str = "",
        default: float | None = None,
        unlimited: str = "no limit",
        total: bool = False,
        ceiling_is_least: bool = False,
        top_level: bool = False,
    ) -> None:
        first, *others = name.split("_")
        self.name = name
        self.option = name.replace("_", "-")
        self.field = first + "".join(map(str.capitalize, others))
        self.path = self.field if top_level else f"limits.{self.field}"
        self.kind = kind
        self.range = bounds
        self.default = default
        self.unlimited = unlimited
        self.total = total
        self.ceiling_is_least = ceiling_is_least
        self.help = help
        self.description = description
        self.answered = description if answered is None else answered
        self.reference = reference


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 20:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _parse_cpus(text: str) -> float:
    whole, _, rest = text.partition(".")
    if not (whole + rest).isdecimal() or not text.isascii():
        raise ValueError(f"{text!r} is not a number of CPUs; write 2, or 0.5 for half of one")
    return float(text)


BYTES = Kind(int, "SIZE", units.parse_size, units.size_text, "bytes")
COUNT = Kind(int, "N", _parse_count, "{:g}".format)
CPUS = Kind(float, "NUMBER", _parse_cpus, "{:g}".format)
SECONDS = Kind(float, "DURATION", units.parse_duration, units.duration_text, "seconds")

_SIZES = Range(1, 2**60, "1 byte", "1048576 T")

RESOURCES = (
    Limit(
        "memory",
        BYTES,
        _SIZES,
        help="memory of all its processes (512M)",
        description="bytes of memory",
        reference="memory of all processes of the job together",
        total=True,
    ),
    Limit(
        "cpus",
        CPUS,
        Range(0.01, 1024),
        help="CPUs at once (1.5)",
        description="CPUs; 0.5 is half of one",
        reference="`0.5` is half of one",
        total=True,
    ),
    Limit(
        "pids",
        COUNT,
        Range(1, 2**22),
        help="processes and threads at once",
        description="processes and threads at once",
        reference="processes and threads at once",
        total=True,
    ),
    Limit(
        "open_files",
        COUNT,
        Range(8, 2**20),
        help="open files of a process",
        description="open files of each process",
        reference="open files of each process",
        unlimited="the server's, up to 1024",
    ),
    Limit(
        "output",
        BYTES,
        _SIZES,
        help="output that is kept (1G)",
        description="bytes of output kept: the first eighth, and the last",
        answered="bytes of output kept",
        reference="standard output and error together",
        default=1024**3,
    ),
    Limit(
        "tmp",
        BYTES,
        _SIZES,
        help="what it may store in its /tmp (2G)",
        description="bytes in the job's own /tmp",
        reference="what is kept in the job's own `/tmp`",
    ),
    Limit(
        "nice",
        COUNT,
        Range(0, 19),
        help="0 to 19: lets others go first, as nice(1)",
        description="how far others go first",
        answered="how far others go first, 0 to 19",
        reference="as in nice(1): the more, the less the job takes from others",
        unlimited="0",
        ceiling_is_least=True,
    ),
)
"""The limits that a start request has under ``limits``."""

TIMEOUT = Limit(
    "timeout",
    SECONDS,
    Range(0.001, 10 * 365 * 86_400.0, "a millisecond", "ten years"),
    help="end it after this time (10m)",
    description="seconds from the program's start; null is the default",
    answered="seconds from the program's start",
    reference="from the program's start",
    top_level=True,
)

LIMITS = (*RESOURCES, TIMEOUT)
"""Every limit: the fields of ``model.Limits``."""

GRACE = Limit(
    "grace",
    SECONDS,
    Range(0, 86_400, "", "a day"),
    help="then SIGTERM first, SIGKILL after this time (10s)",
    description="seconds from SIGTERM to SIGKILL",
    top_level=True,
)
"""The time that a job has to end by itself once its own is over: no limit, but read as one."""


if TYPE_CHECKING:
    # A type checker cannot run the table, so what is made from it is written out here: for
    # ``model``, ``client.requests`` and ``client.answers``. tests/unit/test_limits.py holds
    # these to the table.

    @dataclass(frozen=True, slots=True)
    class Limits:
        """The most that a job may use; None where nothing is limited."""

        memory: int | None = None
        cpus: float | None = None
        pids: int | None = None
        open_files: int | None = None
        output: int | None = None
        tmp: int | None = None
        nice: int | None = None
        timeout: float | None = None

    class LimitsRequest(TypedDict, total=False):
        """The most that the job may use: bytes, CPUs, counts."""

        memory: int | None
        cpus: float | None
        pids: int | None
        openFiles: int | None
        output: int | None
        tmp: int | None
        nice: int | None

    class LimitsView(TypedDict):
        """The effective limits; null where nothing is limited."""

        memory: int | None
        cpus: float | None
        pids: int | None
        openFiles: int | None
        output: int | None
        tmp: int | None
        nice: int | None
        timeout: float | None
