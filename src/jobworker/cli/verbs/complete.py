"""``jobctl __complete``: the words that may stand at the cursor, for ``completion``'s scripts.

It prints one candidate a line, with a tab before its description. A line that begins with a
colon has the shell complete by itself: ``:files``, ``:directories``. It prints nothing where
it finds nothing, for whatever reason, as a person is typing.
"""

from __future__ import annotations

import os
import sys

from jobworker import units
from jobworker.cli import cursor, report
from jobworker.cli.limits import LEVELS
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobworker.cli.cursor import Cursor
    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.answers import JobView
    from jobworker.client.client import Client

USAGE = "__complete [--] WORD..."
OPTIONS: tuple[Option, ...] = ()
PROGRAM_FOLLOWS = True

PATIENCE = 0.2
"""Seconds for the server: with the start of Python it stays below the 300 ms that a person
takes for an answer at once. JOBCTL_COMPLETION_TIMEOUT is for servers that are far away."""

_MOST = 100
"""The most jobs of one status: more than anybody reads."""

_OPEN = ("Running", "Queued")
_ENDED = ("Completed", "Failed", "Stopped")
STATUSES: dict[str, tuple[str, ...]] = {
    "extend": ("Running",),
    "rm": _ENDED,
    "signal": ("Running",),
    "stop": _OPEN,
    "wait": _OPEN,
    "why": _ENDED,
}
"""The statuses of the jobs that a verb can be about; all, where it is not named."""

PATHS = {
    "ARGUMENT": ":files",
    "DIRECTORY": ":directories",
    "FILE": ":files",
    "PATH": ":files",
    "PROGRAM": ":files",
}
"""The words that the shell completes by itself, by their name in the usage."""

WORDS = {
    "COLUMN": (
        *("id", "name", "labels", "owner", "status", "exit", "signal", "cause", "reason"),
        *("created", "started", "finished", "deadline", "time", "cpu", "memory", "pid", "node"),
        *("containment", "program", "command"),
    ),
    "LEVEL": LEVELS,
    "SIGNAL": ("HUP", "INT", "TERM", "KILL", "QUIT", "USR1", "USR2", "CONT", "STOP", "WINCH"),
    "STATUS": (*_OPEN, *_ENDED),
}
"""The words that are one of a few, by their name in the usage."""


def run(call: Invocation) -> int:
    """Prints the candidates for the last of the words."""
    at = cursor.Cursor(call.words)
    pairs = [pair for pair in candidates(at) if pair[0].startswith((at.typed, ":"))]
    if call.has("json"):
        found = [{"word": at.lead + word, "meaning": meaning} for word, meaning in pairs]
        report.answer({"candidates": found, "error": None})
        return 0
    for word, meaning in pairs:
        text = word if word.startswith(":") else f"{at.lead}{word}\t{_plain(meaning)}"
        sys.stdout.write(f"{text}\n")
    return 0


def candidates(at: Cursor) -> Iterable[tuple[str, str]]:
    """The words that may stand at the cursor, each with a description, whatever is typed yet."""
    if at.wants == cursor.VALUE and at.option:
        if at.option[0] == "user":
            return _profiles()
        if at.option[2] == "COLUMNS":
            return _columns(at)
        return _called(at.option[2])
    if at.wants == cursor.OPTION:
        return [(f"--{name}", meaning) for name, _, _, meaning in at.options]
    if at.wants == "ID":
        return _jobs(at)
    return _called(at.wants)


def _columns(at: Cursor) -> Iterable[tuple[str, str]]:
    """The columns that may come behind those of a list that is typed already."""
    before, comma, _ = at.typed.rpartition(",")
    return [
        (before + comma + word, "") for word in WORDS["COLUMN"] if word not in before.split(",")
    ]


def _called(name: str) -> Iterable[tuple[str, str]]:
    """The words for a ``name`` in the usage; lower-case ones stand for themselves."""
    if name == "VERB":
        from jobworker.cli.commands import VERBS

        return [(verb, summary) for verb, _, summary in VERBS]
    if name in PATHS:
        return [(PATHS[name], "")]
    words = WORDS.get(name) or [word for word in name.split("|") if word.islower()]
    return [(word, "") for word in words]


def _profiles() -> Iterator[tuple[str, str]]:
    from jobworker.client import profiles

    try:
        yield from profiles.known()
    except JobWorkerError:
        return


def _jobs(at: Cursor) -> Iterator[tuple[str, str]]:
    """Jobs that the verb can be about and that the line does not name yet, newest first.

    They are offered by their IDs, and by their names once what is typed begins no ID.
    """
    by_name = not "j-".startswith(at.typed[:2])
    import threading

    # A name server may hold a call up for longer than any time-out of ours.
    watch = threading.Timer(_patience(), os._exit, (0,))
    watch.daemon = True
    watch.start()
    try:
        jobs = _fetch(at)
    except (JobWorkerError, OSError):
        return
    finally:
        watch.cancel()
    for job in sorted(jobs, key=lambda job: job["createdAt"], reverse=True):
        word = job["name"] if by_name else job["id"]
        if word and word.isprintable() and word not in at.named:
            at.named.append(word)  # a name may be that of several
            yield word, _described(job)


def _patience() -> float:
    try:
        return units.parse_duration(os.environ.get("JOBCTL_COMPLETION_TIMEOUT", ""))
    except ValueError:
        return PATIENCE


def _fetch(at: Cursor) -> list[JobView]:
    from jobworker.client.client import Client

    is_id = at.typed.startswith("j-") and len(at.typed) > len("j-")
    begins = [("idPrefix", at.typed)] if is_id else []
    statuses = STATUSES.get(at.verb or "")
    queries = [[("status", status)] for status in statuses] if statuses else [[]]
    with Client.from_profile(at.user) as client:
        return [
            job
            for query in queries
            for job in _page(client, [*query, *begins, ("limit", str(_MOST))])
        ]


def _page(client: Client, query: list[tuple[str, str]]) -> list[JobView]:
    return client.list(query)["jobs"]


def _described(job: JobView) -> str:
    words = [job["program"], *(arg if isinstance(arg, str) else "\u2026" for arg in job["args"])]
    name = f"{job['name']}: " if job.get("name") else ""
    return f"{job['status']} {name}{' '.join(words)}"


def _plain(text: str) -> str:
    """The text on one line, with no control characters; a shell shows the beginning of it."""
    return report.escaped(text[:200]).replace("\t", " ")
