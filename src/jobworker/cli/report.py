"""The output of ``jobctl``: data on standard output, messages on standard error."""

from __future__ import annotations

import json
import sys

from jobworker.client import failures
from jobworker.errors import JobWorkerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobworker.cli.invocation import Invocation
    from jobworker.client.answers import IdAnswer, JobView


_ADVICE = {
    "bad_authentication": (
        "the token was revoked, the user removed, or the server set up anew; whoever runs the "
        "server sees its users by jobd user list, and makes one anew, with its old jobs, by "
        "jobd user remove NAME; jobd user add NAME --take-over"
    ),
    "too_many_jobs": "try again once a job has ended; see jobctl list --status Running",
    "no_deadline": "only a job that was started with a time limit (--timeout) has a deadline",
    "program_forbidden": "jobctl can-i start -- PROGRAM says which rule decides",
    "limit_too_high": "ask for less, or leave the option out for the default",
    "limit_unavailable": "jobd doctor, on the server's machine, says what is missing for it",
    "isolation_unavailable": "jobd doctor, on the server's machine, says what is missing for it",
}
"""The advice about a refusal, by its code, where the server itself gives no hint."""


def line(text: str) -> None:
    """Prints one line of data, safe to show on a terminal."""
    sys.stdout.write((escaped(text) if sys.stdout.isatty() else text) + "\n")


def message(text: str) -> None:
    """Prints one message line on standard error."""
    sys.stdout.flush()  # so that lines stand in order where both go to one place
    sys.stderr.write((escaped(text) if sys.stderr.isatty() else text) + "\n")


def hint(call: Invocation, text: str) -> None:
    """Prints what may be done about it: to a person only, and to none who wants it quiet."""
    if sys.stderr.isatty() and not call.has("quiet"):
        message(f"hint: {text}")


def message_below(text: str) -> None:
    """Prints a message on a line of its own: the cursor may stand behind a job's output or ^C."""
    sys.stdout.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    message(text)


def escaped(text: str) -> str:
    r"""``text`` with control characters written as ``\x1b``, so that none acts."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def answer(body: Mapping[str, object]) -> None:
    """Prints the server's answer as one line of JSON, in ASCII."""
    sys.stdout.write(json.dumps(body, separators=(",", ":")) + "\n")


def flush() -> None:
    """Flushes standard output, for a reader that takes it as it comes."""
    sys.stdout.flush()


def failure(error: JobWorkerError, call: Invocation, about: str | None = None) -> None:
    """Reports a refusal by the server, or by the client itself.

    With ``--json`` the error is an answer like any other, on standard output, so that a
    script reads one object in every case; people get the line all the same. ``about`` is
    the job, where the call was about several.
    """
    if call.has("json"):
        job = {"id": about} if about else {}
        answer({**job, **failures.to_answer(error)})
    if error.code == "bad_authentication":
        about = _asked_as(call)
    message(f"Error: {error}" + (f" ({about})" if about else ""))
    if advice := error.hint or _ADVICE.get(error.code):
        hint(call, advice)


def _asked_as(call: Invocation) -> str | None:
    """The profile whose token was refused, and its server; None where it is no more."""
    from jobworker.client import profiles

    try:
        profile = profiles.load(call.value("user"))
    except JobWorkerError:
        return None
    return f"{profile.server} does not take the token of profile {profile.name!r}"


def acted_on(call: Invocation, body: IdAnswer, sentence: str) -> None:
    """Prints which job was acted on: as JSON, as its bare ID, or in a sentence."""
    if call.has("json"):
        answer(body)
    else:
        line(body["id"] if call.has("quiet") else sentence.format(body["id"]))
    if advice := body.get("hint"):
        hint(call, advice)


def job(call: Invocation, view: JobView, *, apart: bool = False) -> None:
    """Prints a job's status; ``apart`` puts a blank line before it, for people."""
    if call.has("json"):
        answer(view)
        return
    if call.has("quiet"):
        line(view["id"])
        return
    if apart:
        line("")
    line(f"ID: {view['id']}")
    code = view["exitCode"]
    line(f"Status: {view['status']}")
    line(f"Exit code: {'n/a' if code is None else code}")
    deadline(view)
    if view["reason"]:
        line(f"Reason: {view['reason']}")


def deadline(view: JobView) -> None:
    """Prints until when a job may run, where it has a time limit and runs."""
    if view["deadline"]:
        line(f"Deadline: {to_the_second(view['deadline'])}")


def to_the_second(moment: str) -> str:
    """A moment of the server's (RFC 3339 in UTC) without its fraction of a second."""
    return moment[:19] + "Z"
