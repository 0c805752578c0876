"""The shared part of ``run -i``, ``run -t`` and ``attach``: an input that is fed from here."""

from __future__ import annotations

import os
import sys

from jobworker.cli import report
from jobworker.cli.invocation import UsageError
from jobworker.errors import JobNotRunning, JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jobworker.cli.invocation import Invocation, Option
    from jobworker.client.input import Feed
    from jobworker.client.profiles import Profile

OPTIONS: tuple[Option, ...] = (
    ("interactive", "i", "", "stream our standard input to the program, and its end"),
    ("tty", "t", "", "run the program on a terminal of its own, with ours at its other end"),
)


def wanted(call: Invocation) -> str | None:
    """The input that ``run`` asks for: ``terminal``, ``pipe`` or None; raises ``UsageError``."""
    kind = "terminal" if call.has("tty") else "pipe" if call.has("interactive") else None
    if kind and call.value("stdin") is not None:
        raise UsageError("--stdin sends all of the input with the start: it goes without -i and -t")
    if kind and sys.stdin is None:  # the next file to be opened would be taken for it
        raise UsageError("our standard input is closed: there is nothing to feed the job from")
    if kind == "terminal":
        check_terminal(call)
    return kind


def check_terminal(call: Invocation) -> None:
    """Raises ``UsageError`` unless there is a terminal at our end."""
    if call.has("json"):
        raise UsageError("--json shows no output: it cannot go with a terminal")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a terminal needs one at our end too; use -i in scripts")


def fields(kind: str | None) -> dict[str, Any]:
    """The fields of a start for such an input."""
    if kind != "terminal":
        return {"input": kind} if kind else {}
    cols, rows = os.get_terminal_size(1)
    return {"input": kind, "window": {"rows": max(rows, 1), "cols": max(cols, 1)}}


def feed_from_stdin(profile: Profile, job_id: str, *, takeover: bool) -> None:
    """Passes our standard input on, in threads that end with this process or before."""
    from threading import Thread

    from jobworker.client.input import Feed

    try:
        feed = Feed(profile, job_id, takeover=takeover)
    except JobNotRunning:
        return  # it has ended already, and its output can be seen
    # Daemons: the caller that waits for the job's end does not wait for our input's.
    Thread(target=_listen, args=(feed, profile, job_id), daemon=True).start()
    Thread(target=_pump, args=(feed,), daemon=True).start()


def _pump(feed: Feed) -> None:
    from jobworker.client.input import PIECE

    try:
        while data := _read(PIECE):
            if not feed.send(data):
                return
    except OSError as error:  # the program must not take this for the end of its input
        report.message(f"jobctl: cannot read standard input: {error.strerror}")
        return
    feed.end()


def _read(size: int) -> bytes:
    """The next bytes of our standard input, also where it was left non-blocking."""
    while True:
        try:
            return os.read(0, size)
        except BlockingIOError:
            from select import select

            select([0], [], [])


def _listen(feed: Feed, profile: Profile, job_id: str) -> None:
    try:
        feed.listen()
    except JobWorkerError as error:
        tell_lost(error, feed, profile, job_id)


def tell_lost(error: JobWorkerError, feed: Feed, profile: Profile, job_id: str) -> None:
    """Says that the job gets no more of our input, unless it has ended."""
    from jobworker.client.calls import FINAL
    from jobworker.client.client import Client

    try:
        with Client(profile) as client:
            if client.status(job_id)["status"] in FINAL:
                return
    except JobWorkerError:
        pass  # the message below is given then too
    report.message(
        f"jobctl: {error} ({feed.taken} bytes were taken); its input stays open, and it goes on: "
        f"jobctl attach {job_id}"
    )
